#include "core/model/post_norm_encoder.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/base/cpu.h"

namespace attnd {
namespace {

class PostNormWorkspace final : public Encoder::Workspace {
 public:
  void Reserve(const ModelConfig& config, int tokens, int lanes) {
    // The last tile of a linear reads and writes whole rounds of rows.
    const int64_t rows = tokens + Linear::kPaddingRows;
    hidden.Reserve(rows * config.hidden_size);
    attended.Reserve(rows * config.hidden_size);
    sum.Reserve(rows * config.hidden_size);
    query_key_value = wide.Borrow(rows * std::max(3 * config.hidden_size, config.intermediate_size));
    scratch.resize(std::max<size_t>(scratch.size(), lanes));
  }
  AlignedBuffer<float> hidden;            // [tokens, hidden]
  AlignedBuffer<float> attended;          // [tokens, hidden]; after its norm: the input of the feed-forward part
  AlignedBuffer<float> sum;               // [tokens, hidden], before a norm
  LinearRows wide;                        // [tokens, intermediate]
  float* query_key_value = nullptr;       // [tokens, 3 hidden], borrowed of `wide`
  AlignedBuffer<float> narrow;            // [tokens, embedding width], where it is not hidden
  std::vector<AttentionScratch> scratch;  // [lanes]
};

class PostNormEncoder final : public Encoder {
 public:
  PostNormEncoder(const ModelConfig& config, PostNormParts parts) : config_(config), parts_(std::move(parts)) {}

  std::unique_ptr<Workspace> NewWorkspace() const override { return std::make_unique<PostNormWorkspace>(); }
  absl::StatusOr<const float*> Forward(const PackedBatch& batch, WorkTeam::Session& team, Workspace& workspace,
                                       absl::FunctionRef<bool()> keep_going) const override;
  int64_t weight_bytes() const override;

 private:
  const ModelConfig config_;
  const PostNormParts parts_;
};

absl::StatusOr<const float*> PostNormEncoder::Forward(const PackedBatch& batch, WorkTeam::Session& team,
                                                      Workspace& workspace,
                                                      absl::FunctionRef<bool()> keep_going) const {
  auto& w = static_cast<PostNormWorkspace&>(workspace);
  int rows = batch.tokens();
  w.Reserve(config_, rows, team.lanes());
  parts_.embedding.Run(batch, team, w.narrow, w.hidden.data());
  const int passes = static_cast<int>(parts_.order.size());
  for (int l = 0; l < passes; ++l) {
    if (!keep_going()) return absl::CancelledError("the step was given up between layers");
    const PostNormLayer& layer = parts_.layers[parts_.order[l]];
    const bool prune = l + 1 == passes && !batch.all_outputs();
    layer.query_key_value.Run(team, w.hidden.data(), rows, Activation::kNone, w.query_key_value);
    RunSelfAttention({.layer = l,
                      .heads = config_.heads,
                      .head_dim = config_.head_dim(),
                      .qkv = w.query_key_value,
                      .output = w.attended.data(),
                      .bias = parts_.bias.has_value() ? &*parts_.bias : nullptr,
                      .rounded = layer.query_key_value.rounds(),
                      .outputs_only = prune},
                     batch, team, w.scratch);
    if (prune) {
      KeepOutputRows(batch, config_.hidden_size, w.hidden.data());
      KeepOutputRows(batch, config_.hidden_size, w.attended.data());
      rows = static_cast<int>(batch.outputs.size());
    }
    layer.attention_output.RunAddResidual(team, w.attended.data(), rows, w.hidden.data(), w.sum.data());
    layer.attention_norm.Run(team, w.sum.data(), rows, w.attended.data());
    layer.intermediate.Run(team, w.attended.data(), rows, config_.activation, layer.output, w.wide);
    layer.output.RunAddResidual(team, w.wide, rows, w.attended.data(), w.sum.data());
    layer.output_norm.Run(team, w.sum.data(), rows, w.hidden.data());
  }
  return w.hidden.data();
}

int64_t PostNormEncoder::weight_bytes() const {
  int64_t bytes = parts_.embedding.bytes();
  for (const PostNormLayer& layer : parts_.layers) {
    bytes += layer.query_key_value.bytes() + layer.attention_output.bytes() + layer.intermediate.bytes() +
             layer.output.bytes();
  }
  return bytes;
}

}  // namespace

absl::StatusOr<PostNormLayer> ReadPostNormLayer(WeightReader& reader, const ModelConfig& config,
                                                const std::string& layer, const PostNormNames& names) {
  const int hidden = config.hidden_size, wide = config.intermediate_size;
  const LinearOptions options = {.precision = config.precision};
  const auto name = [&](const std::string& part) { return absl::StrCat(layer, ".", part); };
  auto query_key_value =
      reader.ReadLinears({name(names.query), name(names.key), name(names.value)}, hidden, hidden, options);
  auto attention_output = reader.ReadLinear(name(names.attention_output), hidden, hidden, options);
  Norm attention_norm = ReadNorm(reader, name(names.attention_norm), hidden, config.layer_norm_eps);
  auto intermediate = reader.ReadLinear(name(names.intermediate), wide, hidden, options);
  auto output = reader.ReadLinear(name(names.output), hidden, wide, options);
  Norm output_norm = ReadNorm(reader, name(names.output_norm), hidden, config.layer_norm_eps);
  if (!reader.status().ok()) return reader.status();
  return PostNormLayer{.query_key_value = *std::move(query_key_value),
                       .attention_output = *std::move(attention_output),
                       .attention_norm = std::move(attention_norm),
                       .intermediate = *std::move(intermediate),
                       .output = *std::move(output),
                       .output_norm = std::move(output_norm)};
}

absl::Status ReadPostNormLayers(WeightReader& reader, const ModelConfig& config, const std::string& stem,
                                const PostNormNames& names, PostNormParts& parts) {
  for (int l = 0; l < config.layers; ++l) {
    auto layer = ReadPostNormLayer(reader, config, absl::StrCat(stem, ".", l), names);
    if (!layer.ok()) return layer.status();
    parts.layers.push_back(*std::move(layer));
    parts.order.push_back(l);
  }
  return reader.status();
}

std::unique_ptr<Encoder> MakePostNormEncoder(const ModelConfig& config, PostNormParts parts) {
  return std::make_unique<PostNormEncoder>(config, std::move(parts));
}

}  // namespace attnd
