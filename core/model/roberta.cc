// RoBERTa: "RoBERTa: A Robustly Optimized BERT Pretraining Approach", Liu et al., 2019; XLM-RoBERTa and CamemBERT have
// its layers. Positions begin at padding_id + 1.
#include <memory>
#include <string>
#include <utility>

#include "core/model/architectures.h"

namespace attnd {

absl::StatusOr<std::unique_ptr<Encoder>> MakeRoberta(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "roberta.", "embeddings.word_embeddings.weight");
  auto parts = ReadBertParts(reader, config);
  if (!parts.ok()) return parts.status();
  return MakePostNormEncoder(config, *std::move(parts));
}

absl::StatusOr<std::unique_ptr<Head>> ReadRobertaHead(const ModelConfig& config, const TensorSource& file,
                                                      const std::string& words) {
  WeightReader reader(file);
  HeadShape shape = {.hidden = config.hidden_size,
                     .dense = config.hidden_size,
                     .outputs = config.logit_columns(),
                     .epsilon = config.layer_norm_eps};
  if (config.task == Task::kTokenClassify) return ReadHead(reader, {.output = "classifier"}, shape);
  if (config.task == Task::kClassify) {
    shape.activation = Activation::kTanh;
    return ReadHead(reader, {.dense = "classifier.dense", .output = "classifier.out_proj"}, shape);
  }
  shape.activation = Activation::kGelu;  // whatever hidden_act says
  return ReadHead(reader,
                  {.dense = "lm_head.dense",
                   .norm = "lm_head.layer_norm",
                   .output = "lm_head.decoder",
                   .tied_words = words,
                   .output_bias = "lm_head.bias"},
                  shape);
}

absl::StatusOr<std::unique_ptr<Head>> MakeRobertaHead(const ModelConfig& config, const TensorSource& file) {
  return ReadRobertaHead(config, file, "roberta.embeddings.word_embeddings.weight");
}

}  // namespace attnd
