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
  const int width = config.word_size;
  PostNormParts parts;
  TokenEmbedding& embedding = parts.embedding;
  embedding.width = width;
  embedding.words =
      WordTable(reader.Read("embeddings.word_embeddings.weight", {config.vocab_size, width}), width, config.precision);
  embedding.positions = reader.Read("embeddings.position_embeddings.weight", {config.max_positions, width});
  embedding.types = reader.Read("embeddings.token_type_embeddings.weight", {config.type_vocab_size, width});
  embedding.norm = ReadNorm(reader, "embeddings.LayerNorm", width, config.layer_norm_eps);
  embedding.padding_id = config.padding_id;
  if (width != config.hidden_size) {
    auto projection = reader.ReadLinear("embeddings_project", config.hidden_size, width);
    if (!projection.ok()) return projection.status();
    embedding.projection.emplace(*std::move(projection));
  }
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
  WeightReader reader(file);
  HeadShape shape = {.hidden = config.hidden_size,
                     .dense = config.hidden_size,
                     .outputs = config.logit_columns(),
                     .epsilon = config.layer_norm_eps};
  if (config.task == Task::kTokenClassify) return ReadHead(reader, {.output = "classifier"}, shape);
  if (config.task == Task::kClassify) {
    shape.activation = Activation::kTanh;
    return ReadHead(reader, {.dense = "bert.pooler.dense", .output = "classifier"}, shape);
  }
  shape.activation = config.activation;
  return ReadHead(reader,
                  {.dense = "cls.predictions.transform.dense",
                   .norm = "cls.predictions.transform.LayerNorm",
                   .output = "cls.predictions.decoder",
                   .tied_words = "bert.embeddings.word_embeddings.weight",
                   .output_bias = "cls.predictions.bias"},
                  shape);
}

}  // namespace attnd
