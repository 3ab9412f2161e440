// ELECTRA: "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", Clark et al., 2020. BERT's
// layers over word vectors that may be narrower, and heads of its own.
#include <memory>
#include <utility>

#include "core/model/architectures.h"

namespace attnd {

absl::StatusOr<std::unique_ptr<Encoder>> MakeElectra(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "electra.", "embeddings.word_embeddings.weight");
  auto parts = ReadBertParts(reader, config);
  if (!parts.ok()) return parts.status();
  return MakePostNormEncoder(config, *std::move(parts));
}

absl::StatusOr<std::unique_ptr<Head>> MakeElectraHead(const ModelConfig& config, const TensorSource& file) {
  return ReadTaskHead(config, file,
                      {.classify = {.dense = "classifier.dense", .output = "classifier.out_proj"},
                       .classify_activation = Activation::kGelu,  // where BERT has tanh
                       .fill_mask = {.dense = "generator_predictions.dense",
                                     .norm = "generator_predictions.LayerNorm",
                                     .output = "generator_lm_head",
                                     .tied_words = "electra.embeddings.word_embeddings.weight"}});
}

}  // namespace attnd
