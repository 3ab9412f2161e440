#include "core/model/bert.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/model/post_norm_encoder.h"

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

absl::StatusOr<std::unique_ptr<Encoder>> MakeBert(const ModelConfig& config, const TensorSource& file) {
  const int hidden = config.hidden_size;
  WeightReader reader(file, "bert.", "embeddings.word_embeddings.weight");
  PostNormParts parts = {
      .embedding = {
          .width = hidden,
          .words = reader.Read("embeddings.word_embeddings.weight", {config.vocab_size, hidden}),
          .positions = reader.Read("embeddings.position_embeddings.weight", {config.max_positions, hidden}),
          .types = reader.Read("embeddings.token_type_embeddings.weight", {config.type_vocab_size, hidden}),
          .norm = ReadNorm(reader, "embeddings.LayerNorm", hidden, config.layer_norm_eps),
      }};
  if (absl::Status status = ReadPostNormLayers(reader, config, "encoder.layer", Names(), parts); !status.ok()) {
    return status;
  }
  return MakePostNormEncoder(config, std::move(parts));
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
