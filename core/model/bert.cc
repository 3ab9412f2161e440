// BERT: "BERT: Pre-training of Deep Bidirectional Transformers", Devlin et al., 2018.
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/model/architectures.h"

namespace attnd {
namespace {

const PostNormNames& Names() {
  static const auto* const names = new PostNormNames{.query = "attention.self.query",
                                                     .key = "attention.self.key",
                                                     .value = "attention.self.value",
                                                     .attention_output = "attention.output.dense",
                                                     .attention_norm = "attention.output.LayerNorm",
                                                     .intermediate = "intermediate.dense",
                                                     .output = "output.dense",
                                                     .output_norm = "output.LayerNorm"};
  return *names;
}

}  // namespace

absl::StatusOr<PostNormParts> ReadBertParts(WeightReader& reader, const ModelConfig& config) {
  const bool narrow = config.word_size != config.hidden_size;  // as some of ELECTRA are
  PostNormParts parts = {.embedding = ReadTokenEmbedding(reader, config, narrow ? "embeddings_project" : "")};
  if (absl::Status status = ReadPostNormLayers(reader, config, "encoder.layer", Names(), parts); !status.ok()) {
    return status;
  }
  return parts;
}

absl::StatusOr<std::unique_ptr<Encoder>> MakeBert(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "bert.", "embeddings.word_embeddings.weight");
  auto parts = ReadBertParts(reader, config);
  if (!parts.ok()) return parts.status();
  return MakePostNormEncoder(config, *std::move(parts));
}

absl::StatusOr<std::unique_ptr<Head>> MakeBertHead(const ModelConfig& config, const TensorSource& file) {
  return ReadTaskHead(config, file,
                      {.classify = {.dense = "bert.pooler.dense", .output = "classifier"},
                       .fill_mask = {.dense = "cls.predictions.transform.dense",
                                     .norm = "cls.predictions.transform.LayerNorm",
                                     .output = "cls.predictions.decoder",
                                     .tied_words = "bert.embeddings.word_embeddings.weight",
                                     .output_bias = "cls.predictions.bias"},
                       .fill_mask_activation = config.activation});
}

}  // namespace attnd
