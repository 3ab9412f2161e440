// ALBERT: "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", Lan et al., 2019. BERT's
// layers over narrow word vectors; layers of a group share their weights.
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/model/architectures.h"

namespace attnd {

absl::StatusOr<std::unique_ptr<Encoder>> MakeAlbert(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "albert.", "embeddings.word_embeddings.weight");
  const int width = config.word_size;
  PostNormParts parts;
  TokenEmbedding& embedding = parts.embedding;
  embedding.width = width;
  embedding.words =
      WordTable(reader.Read("embeddings.word_embeddings.weight", {config.vocab_size, width}), width, config.precision);
  embedding.positions = reader.Read("embeddings.position_embeddings.weight", {config.max_positions, width});
  embedding.types = reader.Read("embeddings.token_type_embeddings.weight", {config.type_vocab_size, width});
  embedding.norm = ReadNorm(reader, "embeddings.LayerNorm", width, config.layer_norm_eps);
  auto projection = reader.ReadLinear("encoder.embedding_hidden_mapping_in", config.hidden_size, width);
  if (!projection.ok()) return projection.status();
  embedding.projection.emplace(*std::move(projection));
  const PostNormNames names = {.query = "attention.query",
                               .key = "attention.key",
                               .value = "attention.value",
                               .attention_output = "attention.dense",
                               .attention_norm = "attention.LayerNorm",
                               .intermediate = "ffn",
                               .output = "ffn_output",
                               .output_norm = "full_layer_layer_norm"};
  for (int g = 0; g < config.layer_groups; ++g) {
    auto layer =
        ReadPostNormLayer(reader, config, absl::StrCat("encoder.albert_layer_groups.", g, ".albert_layers.0"), names);
    if (!layer.ok()) return layer.status();
    parts.layers.push_back(*std::move(layer));
  }
  for (int l = 0; l < config.layers; ++l) {
    parts.order.push_back(static_cast<int>(int64_t{l} * config.layer_groups / config.layers));
  }
  return MakePostNormEncoder(config, std::move(parts));
}

absl::StatusOr<std::unique_ptr<Head>> MakeAlbertHead(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file);
  HeadShape shape = {.hidden = config.hidden_size,
                     .dense = config.hidden_size,
                     .outputs = config.logit_columns(),
                     .epsilon = config.layer_norm_eps};
  if (config.task == Task::kTokenClassify) return ReadHead(reader, {.output = "classifier"}, shape);
  if (config.task == Task::kClassify) {
    shape.activation = Activation::kTanh;
    return ReadHead(reader, {.dense = "albert.pooler", .output = "classifier"}, shape);
  }
  shape.dense = config.word_size;
  shape.activation = config.activation;
  return ReadHead(reader,
                  {.dense = "predictions.dense",
                   .norm = "predictions.LayerNorm",
                   .output = "predictions.decoder",
                   .tied_words = "albert.embeddings.word_embeddings.weight",
                   .output_bias = "predictions.bias"},
                  shape);
}

}  // namespace attnd
