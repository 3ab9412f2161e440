// The encoder architectures, one .cc each: what its tensors are called and how the shared parts go together.
#ifndef ATTND_CORE_MODEL_ARCHITECTURES_H_
#define ATTND_CORE_MODEL_ARCHITECTURES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/encoder.h"
#include "core/model/head.h"
#include "core/model/post_norm_encoder.h"
#include "core/model/weight_reader.h"

namespace attnd {

// Each reads and packs the weights of the base model, bare or below its prefix of a model with a head, and the head of
// config.task (never kEmbed). Errors name the tensor.
absl::StatusOr<std::unique_ptr<Encoder>> MakeBert(const ModelConfig& config, const TensorSource& file);
absl::StatusOr<std::unique_ptr<Head>> MakeBertHead(const ModelConfig& config, const TensorSource& file);

absl::StatusOr<std::unique_ptr<Encoder>> MakeDistilBert(const ModelConfig& config, const TensorSource& file);
absl::StatusOr<std::unique_ptr<Head>> MakeDistilBertHead(const ModelConfig& config, const TensorSource& file);

// RoBERTa, XLM-RoBERTa and CamemBERT.
absl::StatusOr<std::unique_ptr<Encoder>> MakeRoberta(const ModelConfig& config, const TensorSource& file);
absl::StatusOr<std::unique_ptr<Head>> MakeRobertaHead(const ModelConfig& config, const TensorSource& file);

absl::StatusOr<std::unique_ptr<Encoder>> MakeMpnet(const ModelConfig& config, const TensorSource& file);
absl::StatusOr<std::unique_ptr<Head>> MakeMpnetHead(const ModelConfig& config, const TensorSource& file);

absl::StatusOr<std::unique_ptr<Encoder>> MakeElectra(const ModelConfig& config, const TensorSource& file);
absl::StatusOr<std::unique_ptr<Head>> MakeElectraHead(const ModelConfig& config, const TensorSource& file);

absl::StatusOr<std::unique_ptr<Encoder>> MakeAlbert(const ModelConfig& config, const TensorSource& file);
absl::StatusOr<std::unique_ptr<Head>> MakeAlbertHead(const ModelConfig& config, const TensorSource& file);

absl::StatusOr<std::unique_ptr<Encoder>> MakeModernBert(const ModelConfig& config, const TensorSource& file);
absl::StatusOr<std::unique_ptr<Head>> MakeModernBertHead(const ModelConfig& config, const TensorSource& file);

// For architectures that name their tensors as BERT does: embeddings.*, embeddings_project where `word_size` is not
// `hidden_size`, encoder.layer.*.
absl::StatusOr<PostNormParts> ReadBertParts(WeightReader& reader, const ModelConfig& config);
// The head of `roberta_prefix` models: classifier.dense, classifier.out_proj; lm_head.*.
absl::StatusOr<std::unique_ptr<Head>> ReadRobertaHead(const ModelConfig& config, const TensorSource& file,
                                                      const std::string& words);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_ARCHITECTURES_H_
