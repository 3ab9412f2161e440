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
  // GELU whatever hidden_act says.
  return ReadTaskHead(config, file,
                      {.classify = {.dense = "classifier.dense", .output = "classifier.out_proj"},
                       .fill_mask = {.dense = "lm_head.dense",
                                     .norm = "lm_head.layer_norm",
                                     .output = "lm_head.decoder",
                                     .tied_words = words,
                                     .output_bias = "lm_head.bias"}});
}

absl::StatusOr<std::unique_ptr<Head>> MakeRobertaHead(const ModelConfig& config, const TensorSource& file) {
  return ReadRobertaHead(config, file, "roberta.embeddings.word_embeddings.weight");
}

}  // namespace attnd
