// BERT: a PostNormEncoder, and its heads.
#ifndef ATTND_CORE_MODEL_BERT_H_
#define ATTND_CORE_MODEL_BERT_H_

#include <memory>

#include "core/model/encoder.h"
#include "core/model/head.h"

namespace attnd {

// Reads the weights of a BertModel, bare or below "bert." of a model with a head, and packs them. Errors name the
// tensor.
absl::StatusOr<std::unique_ptr<Encoder>> MakeBert(const ModelConfig& config, const TensorSource& file);
// The head of BertForSequenceClassification, BertForTokenClassification or BertForMaskedLM, by config.task.
absl::StatusOr<std::unique_ptr<Head>> MakeBertHead(const ModelConfig& config, const TensorSource& file);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_BERT_H_
