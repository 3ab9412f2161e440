// DistilBERT: "DistilBERT, a distilled version of BERT", Sanh et al., 2019. BERT's layers under other names, without
// types.
#include <memory>
#include <utility>

#include "core/model/architectures.h"

namespace attnd {

absl::StatusOr<std::unique_ptr<Encoder>> MakeDistilBert(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "distilbert.", "embeddings.word_embeddings.weight");
  PostNormParts parts = {.embedding = ReadTokenEmbedding(reader, config, "")};
  const PostNormNames names = {.query = "attention.q_lin",
                               .key = "attention.k_lin",
                               .value = "attention.v_lin",
                               .attention_output = "attention.out_lin",
                               .attention_norm = "sa_layer_norm",
                               .intermediate = "ffn.lin1",
                               .output = "ffn.lin2",
                               .output_norm = "output_layer_norm"};
  if (absl::Status status = ReadPostNormLayers(reader, config, "transformer.layer", names, parts); !status.ok()) {
    return status;
  }
  return MakePostNormEncoder(config, std::move(parts));
}

absl::StatusOr<std::unique_ptr<Head>> MakeDistilBertHead(const ModelConfig& config, const TensorSource& file) {
  return ReadTaskHead(config, file,
                      {.classify = {.dense = "pre_classifier", .output = "classifier"},
                       .classify_activation = Activation::kRelu,
                       .fill_mask = {.dense = "vocab_transform",
                                     .norm = "vocab_layer_norm",
                                     .output = "vocab_projector",
                                     .tied_words = "distilbert.embeddings.word_embeddings.weight"},
                       .fill_mask_activation = config.activation});
}

}  // namespace attnd
