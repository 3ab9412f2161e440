// ALBERT: "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations", Lan et al., 2019. BERT's
// layers over narrow word vectors; layers of a group share their weights.
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/model/architectures.h"

namespace attnd {

absl::StatusOr<std::unique_ptr<Encoder>> MakeAlbert(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "albert.", "embeddings.word_embeddings.weight");
  PostNormParts parts = {.embedding = ReadTokenEmbedding(reader, config, "encoder.embedding_hidden_mapping_in")};
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
  return ReadTaskHead(config, file,
                      {.classify = {.dense = "albert.pooler", .output = "classifier"},
                       .fill_mask = {.dense = "predictions.dense",
                                     .norm = "predictions.LayerNorm",
                                     .output = "predictions.decoder",
                                     .tied_words = "albert.embeddings.word_embeddings.weight",
                                     .output_bias = "predictions.bias"},
                       .fill_mask_activation = config.activation});
}

}  // namespace attnd
