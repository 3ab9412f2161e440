// DistilBERT: "DistilBERT, a distilled version of BERT", Sanh et al., 2019. BERT's layers under other names, without
// types.
#include <memory>
#include <utility>

#include "core/model/architectures.h"

namespace attnd {

absl::StatusOr<std::unique_ptr<Encoder>> MakeDistilBert(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "distilbert.", "embeddings.word_embeddings.weight");
  const int hidden = config.hidden_size;
  PostNormParts parts;
  parts.embedding.width = hidden;
  parts.embedding.words = WordTable(reader.Read("embeddings.word_embeddings.weight", {config.vocab_size, hidden}),
                                    hidden, config.precision);
  parts.embedding.positions = reader.Read("embeddings.position_embeddings.weight", {config.max_positions, hidden});
  parts.embedding.norm = ReadNorm(reader, "embeddings.LayerNorm", hidden, config.layer_norm_eps);
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
  WeightReader reader(file);
  HeadShape shape = {.hidden = config.hidden_size,
                     .dense = config.hidden_size,
                     .outputs = config.logit_columns(),
                     .epsilon = config.layer_norm_eps};
  if (config.task == Task::kTokenClassify) return ReadHead(reader, {.output = "classifier"}, shape);
  if (config.task == Task::kClassify) {
    shape.activation = Activation::kRelu;
    return ReadHead(reader, {.dense = "pre_classifier", .output = "classifier"}, shape);
  }
  shape.activation = config.activation;
  return ReadHead(reader,
                  {.dense = "vocab_transform",
                   .norm = "vocab_layer_norm",
                   .output = "vocab_projector",
                   .tied_words = "distilbert.embeddings.word_embeddings.weight"},
                  shape);
}

}  // namespace attnd
