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
  WeightReader reader(file);
  HeadShape shape = {.hidden = config.hidden_size,
                     .dense = config.hidden_size,
                     .outputs = config.logit_columns(),
                     .activation = Activation::kGelu,  // where BERT has tanh
                     .epsilon = config.layer_norm_eps};
  if (config.task == Task::kTokenClassify) return ReadHead(reader, {.output = "classifier"}, shape);
  if (config.task == Task::kClassify) {
    return ReadHead(reader, {.dense = "classifier.dense", .output = "classifier.out_proj"}, shape);
  }
  shape.dense = config.word_size;
  return ReadHead(reader,
                  {.dense = "generator_predictions.dense",
                   .norm = "generator_predictions.LayerNorm",
                   .output = "generator_lm_head",
                   .tied_words = "electra.embeddings.word_embeddings.weight"},
                  shape);
}

}  // namespace attnd
