// ModernBERT: "Smarter, Better, Faster, Longer", Warner et al., 2024. Pre-norm layers with rotary positions; most of
// them see a window of neighbours only:
//   x = x + Attention(LayerNorm(x)) W_o              (the first layer without the norm)
//   x = x + (GELU(LayerNorm(x) W_a) * LayerNorm(x) W_b) W_2
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/model/architectures.h"
#include "core/model/self_attention.h"
#include "core/ops/activation.h"
#include "core/ops/rope.h"

namespace attnd {
namespace {

struct Layer {
  std::optional<Norm> attention_norm;  // absent in the first
  Linear query_key_value;              // hidden -> 3 hidden
  Linear attention_output;             // hidden -> hidden
  Norm feed_forward_norm;
  Linear up;    // hidden -> 2 intermediate: what is activated, then its factor
  Linear down;  // intermediate -> hidden
  bool local;   // sees config.modernbert.window neighbours on each side
};

class ModernBertWorkspace final : public Encoder::Workspace {
 public:
  void Reserve(const ModelConfig& config, const PackedBatch& batch, int lanes) {
    // The last tile of a linear or of attention reads whole rounds of rows.
    const int64_t rows = batch.tokens() + Linear::kPaddingRows;
    for (AlignedBuffer<float>* buffer : {&hidden, &normed, &attended, &sum}) buffer->Reserve(rows * config.hidden_size);
    query_key_value.Reserve(rows * 3 * config.hidden_size);
    scratch.resize(std::max<size_t>(scratch.size(), lanes));
    positions.clear();
    for (int s = 0; s < batch.sequences(); ++s) {
      for (int t = 0; t < batch.length(s); ++t) positions.push_back(t);
    }
  }
  AlignedBuffer<float> hidden;            // [tokens, hidden], the sum of all parts so far
  AlignedBuffer<float> normed;            // [tokens, hidden], the input of a part
  AlignedBuffer<float> attended;          // [tokens, hidden], heads side by side
  AlignedBuffer<float> sum;               // [tokens, hidden], after the attention
  AlignedBuffer<float> query_key_value;   // [tokens, 3 hidden]
  LinearRows gated;                       // [tokens, intermediate]
  AlignedBuffer<float> narrow;            // unused by an embedding without projection
  std::vector<int32_t> positions;         // [tokens], within the sequence
  std::vector<AttentionScratch> scratch;  // [lanes]
};

class ModernBert final : public Encoder {
 public:
  static absl::StatusOr<std::unique_ptr<Encoder>> Make(const ModelConfig& config, const TensorSource& file);

  std::unique_ptr<Workspace> NewWorkspace() const override { return std::make_unique<ModernBertWorkspace>(); }
  absl::StatusOr<const float*> Forward(const PackedBatch& batch, WorkTeam::Session& team, Workspace& workspace,
                                       absl::FunctionRef<bool()> keep_going) const override;
  int64_t weight_bytes() const override;

 private:
  explicit ModernBert(const ModelConfig& config)
      : config_(config),
        global_rope_({.rotary_dim = config.head_dim(), .theta = config.modernbert.global_theta}, config.max_positions),
        local_rope_({.rotary_dim = config.head_dim(), .theta = config.modernbert.local_theta}, config.max_positions) {}
  void Attend(int layer, bool outputs_only, const PackedBatch& batch, WorkTeam::Session& team,
              ModernBertWorkspace& workspace) const;

  const ModelConfig config_;
  const RopeTable global_rope_, local_rope_;
  TokenEmbedding embedding_;
  std::vector<Layer> layers_;
  Norm final_norm_;
};

// Rows of one tile of the parts between linears.
constexpr int kRotatedRows = 32;

absl::StatusOr<std::unique_ptr<Encoder>> ModernBert::Make(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "model.", "embeddings.tok_embeddings.weight");
  const ModernBertOptions& options = config.modernbert;
  const int hidden = config.hidden_size, wide = config.intermediate_size;
  const auto norm = [&](const std::string& name) {
    return ReadNorm(reader, name, hidden, config.layer_norm_eps, options.norm_bias);
  };
  auto result = std::unique_ptr<ModernBert>(new ModernBert(config));
  result->embedding_.words =
      WordTable(reader.Read("embeddings.tok_embeddings.weight", {config.vocab_size, hidden}), hidden, config.precision);
  result->embedding_.norm = norm("embeddings.norm");
  for (int l = 0; l < config.layers; ++l) {
    const std::string at = absl::StrCat("layers.", l, ".");
    std::optional<Norm> attention_norm;
    if (l > 0) attention_norm = norm(at + "attn_norm");
    auto query_key_value = reader.ReadLinear(at + "attn.Wqkv", 3 * hidden, hidden,
                                             {.bias = options.attention_bias, .precision = config.precision});
    auto attention_output = reader.ReadLinear(at + "attn.Wo", hidden, hidden,
                                              {.bias = options.attention_bias, .precision = config.precision});
    Norm feed_forward_norm = norm(at + "mlp_norm");
    auto up =
        reader.ReadLinear(at + "mlp.Wi", 2 * wide, hidden, {.bias = options.mlp_bias, .precision = config.precision});
    auto down =
        reader.ReadLinear(at + "mlp.Wo", hidden, wide, {.bias = options.mlp_bias, .precision = config.precision});
    if (!reader.status().ok()) return reader.status();
    result->layers_.push_back({.attention_norm = std::move(attention_norm),
                               .query_key_value = *std::move(query_key_value),
                               .attention_output = *std::move(attention_output),
                               .feed_forward_norm = std::move(feed_forward_norm),
                               .up = *std::move(up),
                               .down = *std::move(down),
                               .local = options.local_layers[l]});
  }
  result->final_norm_ = norm("final_norm");
  if (!reader.status().ok()) return reader.status();
  return result;
}

void ModernBert::Attend(int layer, bool outputs_only, const PackedBatch& batch, WorkTeam::Session& team,
                        ModernBertWorkspace& w) const {
  const int width = config_.hidden_size;
  const bool local = layers_[layer].local;
  const RopeTable& rope = local ? local_rope_ : global_rope_;
  team.ParallelFor((batch.tokens() + kRotatedRows - 1) / kRotatedRows, [&](int64_t tile, int) {
    const int begin = static_cast<int>(tile) * kRotatedRows;
    // Queries and keys lie side by side: one run of heads.
    rope.Rotate(RopeLayout::kHalves, w.positions.data() + begin, std::min(kRotatedRows, batch.tokens() - begin),
                2 * config_.heads, config_.head_dim(), 3 * width,
                w.query_key_value.data() + int64_t{begin} * 3 * width);
  });
  RunSelfAttention({.layer = layer,
                    .heads = config_.heads,
                    .head_dim = config_.head_dim(),
                    .qkv = w.query_key_value.data(),
                    .output = w.attended.data(),
                    .rounded = layers_[layer].query_key_value.rounds(),
                    .window = local ? config_.modernbert.window : -1,
                    .outputs_only = outputs_only},
                   batch, team, w.scratch);
}

absl::StatusOr<const float*> ModernBert::Forward(const PackedBatch& batch, WorkTeam::Session& team,
                                                 Workspace& workspace, absl::FunctionRef<bool()> keep_going) const {
  auto& w = static_cast<ModernBertWorkspace&>(workspace);
  int rows = batch.tokens();
  w.Reserve(config_, batch, team.lanes());
  embedding_.Run(batch, team, w.narrow, w.hidden.data());
  for (int l = 0; l < config_.layers; ++l) {
    if (!keep_going()) return absl::CancelledError("the step was given up between layers");
    const Layer& layer = layers_[l];
    const bool prune = l + 1 == config_.layers && !batch.all_outputs();
    const float* input = w.hidden.data();
    if (layer.attention_norm.has_value()) {
      layer.attention_norm->Run(team, w.hidden.data(), rows, w.normed.data());
      input = w.normed.data();
    }
    layer.query_key_value.Run(team, input, rows, Activation::kNone, w.query_key_value.data());
    Attend(l, prune, batch, team, w);
    if (prune) {
      KeepOutputRows(batch, config_.hidden_size, w.hidden.data());
      KeepOutputRows(batch, config_.hidden_size, w.attended.data());
      rows = static_cast<int>(batch.outputs.size());
    }
    layer.attention_output.RunAddResidual(team, w.attended.data(), rows, w.hidden.data(), w.sum.data());
    layer.feed_forward_norm.Run(team, w.sum.data(), rows, w.normed.data());
    layer.up.RunGated(team, w.normed.data(), rows, config_.activation, layer.down, w.gated);
    layer.down.RunAddResidual(team, w.gated, rows, w.sum.data(), w.hidden.data());
  }
  final_norm_.Run(team, w.hidden.data(), rows, w.hidden.data());
  return w.hidden.data();
}

int64_t ModernBert::weight_bytes() const {
  int64_t bytes = embedding_.bytes() + global_rope_.bytes() + local_rope_.bytes();
  for (const Layer& layer : layers_) {
    bytes += layer.query_key_value.bytes() + layer.attention_output.bytes() + layer.up.bytes() + layer.down.bytes();
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> MakeModernBert(const ModelConfig& config, const TensorSource& file) {
  return ModernBert::Make(config, file);
}

absl::StatusOr<std::unique_ptr<Head>> MakeModernBertHead(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file);
  const ModernBertOptions& options = config.modernbert;
  HeadNames names = {.dense = "head.dense", .norm = "head.norm", .output = "classifier"};
  if (config.task == Task::kFillMask) {
    names.output = "decoder";
    names.tied_words = "model.embeddings.tok_embeddings.weight";
  }
  auto head = ReadHead(reader, names,
                       {.hidden = config.hidden_size,
                        .dense = config.hidden_size,
                        .outputs = config.logit_columns(),
                        .activation = options.classifier_activation,
                        .epsilon = config.layer_norm_eps,
                        .dense_bias = options.classifier_bias,
                        .norm_bias = options.norm_bias,
                        .output_bias = config.task != Task::kFillMask || options.decoder_bias});
  if (head.ok()) (*head)->pooling = options.classifier_pooling;
  return head;
}

}  // namespace attnd
