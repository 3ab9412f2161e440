// BERT: "BERT: Pre-training of Deep Bidirectional Transformers", Devlin et al., 2018. Post-norm encoder layers:
//   a = LayerNorm(x + Attention(x W_q, x W_k, x W_v) W_o)
//   x = LayerNorm(a + GELU(a W_1) W_2)
#include "core/model/bert.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/model/weight_reader.h"
#include "core/ops/attention.h"
#include "core/ops/layer_norm.h"
#include "core/ops/linear.h"

namespace attnd {
namespace {

struct Norm {
  std::vector<float> weight;  // [hidden]
  std::vector<float> bias;    // [hidden]
};

struct Layer {
  Linear query_key_value;   // hidden -> 3 hidden
  Linear attention_output;  // hidden -> hidden
  Norm attention_norm;
  Linear intermediate;  // hidden -> intermediate
  Linear output;        // intermediate -> hidden
  Norm output_norm;
};

class BertWorkspace final : public Encoder::Workspace {
 public:
  void Reserve(const ModelConfig& config, int tokens, int lanes) {
    // The last tile of a linear reads and writes whole rounds of rows.
    const int64_t rows = tokens + Linear::kPaddingRows;
    hidden.Reserve(rows * config.hidden_size);
    attended.Reserve(rows * config.hidden_size);
    sum.Reserve(rows * config.hidden_size);
    wide.Reserve(rows * std::max(3 * config.hidden_size, config.intermediate_size));
    scratch.resize(std::max<size_t>(scratch.size(), lanes));
  }
  AlignedBuffer<float> hidden;  // [tokens, hidden]
  AlignedBuffer<float>
      attended;              // [tokens, hidden], heads side by side; after its norm: the input of the feed-forward part
  AlignedBuffer<float> sum;  // [tokens, hidden], before a norm
  AlignedBuffer<float> wide;              // [tokens, 3 hidden] query, key, value; then [tokens, intermediate]
  std::vector<AttentionScratch> scratch;  // [lanes]
};

class Bert final : public Encoder {
 public:
  static absl::StatusOr<std::unique_ptr<Encoder>> Make(const ModelConfig& config, const TensorSource& file);

  std::unique_ptr<Workspace> NewWorkspace() const override { return std::make_unique<BertWorkspace>(); }
  absl::StatusOr<const float*> Forward(const PackedBatch& batch, WorkTeam::Session& team, Workspace& workspace,
                                       absl::FunctionRef<bool()> keep_going) const override;
  int64_t weight_bytes() const override;

 private:
  explicit Bert(const ModelConfig& config) : config_(config) {}
  void Embed(const PackedBatch& batch, WorkTeam::Session& team, float* hidden) const;
  void Attend(int layer, const PackedBatch& batch, WorkTeam::Session& team, BertWorkspace& workspace) const;
  void Normalize(const Norm& norm, WorkTeam::Session& team, const float* x, int rows, float* y) const;

  const ModelConfig config_;
  std::vector<float> words_;      // [vocab, hidden]
  std::vector<float> positions_;  // [max_positions, hidden]
  std::vector<float> types_;      // [type_vocab, hidden]
  Norm embedding_norm_;
  std::vector<Layer> layers_;
};

// Most rows whose norms the caller does alone: waking the others would cost more.
constexpr int kRowsAlone = 32;
constexpr int kRowsPerTile = 16;

Norm ReadNorm(WeightReader& reader, const std::string& name, int hidden) {
  return {.weight = reader.Read(absl::StrCat(name, ".weight"), {hidden}),
          .bias = reader.Read(absl::StrCat(name, ".bias"), {hidden})};
}

absl::StatusOr<std::unique_ptr<Encoder>> Bert::Make(const ModelConfig& config, const TensorSource& file) {
  auto bert = std::unique_ptr<Bert>(new Bert(config));
  WeightReader reader(file, "bert.", "embeddings.word_embeddings.weight");
  const int hidden = config.hidden_size;
  const int wide = config.intermediate_size;
  bert->words_ = reader.Read("embeddings.word_embeddings.weight", {config.vocab_size, hidden});
  bert->positions_ = reader.Read("embeddings.position_embeddings.weight", {config.max_positions, hidden});
  bert->types_ = reader.Read("embeddings.token_type_embeddings.weight", {config.type_vocab_size, hidden});
  bert->embedding_norm_ = ReadNorm(reader, "embeddings.LayerNorm", hidden);
  for (int l = 0; l < config.layers; ++l) {
    const std::string at = absl::StrCat("encoder.layer.", l, ".");
    const auto name = [&](const char* part) { return absl::StrCat(at, part); };
    const std::vector<float> qkv = reader.ReadJoined(
        {name("attention.self.query.weight"), name("attention.self.key.weight"), name("attention.self.value.weight")},
        {hidden, hidden});
    const std::vector<float> qkv_bias = reader.ReadJoined(
        {name("attention.self.query.bias"), name("attention.self.key.bias"), name("attention.self.value.bias")},
        {hidden});
    const std::vector<float> attention = reader.Read(name("attention.output.dense.weight"), {hidden, hidden});
    const std::vector<float> attention_bias = reader.Read(name("attention.output.dense.bias"), {hidden});
    Norm attention_norm = ReadNorm(reader, name("attention.output.LayerNorm"), hidden);
    const std::vector<float> intermediate = reader.Read(name("intermediate.dense.weight"), {wide, hidden});
    const std::vector<float> intermediate_bias = reader.Read(name("intermediate.dense.bias"), {wide});
    const std::vector<float> output = reader.Read(name("output.dense.weight"), {hidden, wide});
    const std::vector<float> output_bias = reader.Read(name("output.dense.bias"), {hidden});
    Norm output_norm = ReadNorm(reader, name("output.LayerNorm"), hidden);
    if (!reader.status().ok()) return reader.status();
    bert->layers_.push_back({.query_key_value = Linear(qkv, qkv_bias, 3 * hidden, hidden),
                             .attention_output = Linear(attention, attention_bias, hidden, hidden),
                             .attention_norm = std::move(attention_norm),
                             .intermediate = Linear(intermediate, intermediate_bias, wide, hidden),
                             .output = Linear(output, output_bias, hidden, wide),
                             .output_norm = std::move(output_norm)});
  }
  if (!reader.status().ok()) return reader.status();
  return bert;
}

void Bert::Normalize(const Norm& norm, WorkTeam::Session& team, const float* x, int rows, float* y) const {
  const int hidden = config_.hidden_size;
  const int tile_rows = rows <= kRowsAlone ? rows : kRowsPerTile;
  team.ParallelFor((rows + tile_rows - 1) / tile_rows, [&](int64_t tile, int) {
    const int64_t begin = tile * tile_rows;
    const int count = std::min<int>(tile_rows, rows - static_cast<int>(begin));
    LayerNorm(x + begin * hidden, norm.weight.data(), norm.bias.data(), config_.layer_norm_eps, count, hidden,
              y + begin * hidden);
  });
}

void Bert::Embed(const PackedBatch& batch, WorkTeam::Session& team, float* hidden) const {
  const int width = config_.hidden_size;
  team.ParallelFor(batch.sequences(), [&](int64_t sequence, int) {
    const int begin = batch.begins[sequence];
    for (int t = begin; t < batch.begins[sequence + 1]; ++t) {
      const float* word = words_.data() + int64_t{batch.ids[t]} * width;
      const float* position = positions_.data() + int64_t{t - begin} * width;
      const float* type = types_.data() + int64_t{batch.type_ids[t]} * width;
      float* row = hidden + int64_t{t} * width;
      for (int c = 0; c < width; ++c) row[c] = word[c] + type[c] + position[c];
      LayerNorm(row, embedding_norm_.weight.data(), embedding_norm_.bias.data(), config_.layer_norm_eps, 1, width, row);
    }
  });
}

void Bert::Attend(int layer, const PackedBatch& batch, WorkTeam::Session& team, BertWorkspace& workspace) const {
  const int heads = config_.heads;
  const int width = config_.hidden_size;
  const int dim = config_.head_dim();
  const int64_t pairs = int64_t{batch.sequences()} * heads;
  // One tile a head: its keys are packed once. Where that leaves lanes idle, the query rows are split too.
  const int splits = static_cast<int>(std::max<int64_t>(1, 2 * team.lanes() / pairs));
  team.ParallelFor(pairs * splits, [&](int64_t tile, int lane) {
    const int sequence = static_cast<int>(tile / splits / heads);
    const int head = static_cast<int>(tile / splits % heads);
    const int split = static_cast<int>(tile % splits);
    const int tokens = batch.length(sequence);
    const int64_t begin = batch.begins[sequence];
    const float* query = workspace.wide.data() + begin * 3 * width + head * dim;
    const AttentionHead args = {.query = query,
                                .key = query + width,
                                .value = query + 2 * width,
                                .output = workspace.attended.data() + begin * width + head * dim,
                                .query_stride = 3 * width,
                                .key_stride = 3 * width,
                                .value_stride = 3 * width,
                                .output_stride = width,
                                .queries = tokens,
                                .keys = tokens,
                                .head_dim = dim,
                                .value_dim = dim,
                                .scale = 1.0f / std::sqrt(static_cast<float>(dim))};
    const int row_begin = static_cast<int>(int64_t{tokens} * split / splits);
    const int row_end = static_cast<int>(int64_t{tokens} * (split + 1) / splits);
    if (row_begin == row_end) return;
    AttentionSink* sink = batch.sinks[sequence];
    if (sink == nullptr || !sink->Wants(layer, head)) {
      AttendRows(args, row_begin, row_end, workspace.scratch[lane], nullptr);
      return;
    }
    const auto tile_of = [&](int query_begin, int query_count, const float* probabilities, int stride,
                             const float* log_sum_exp) {
      sink->Tile({layer, head, query_begin, query_count, tokens, probabilities, stride, log_sum_exp});
    };
    const ProbabilityFn see = tile_of;  // refers to the lambda
    AttendRows(args, row_begin, row_end, workspace.scratch[lane], &see);
  });
}

absl::StatusOr<const float*> Bert::Forward(const PackedBatch& batch, WorkTeam::Session& team, Workspace& workspace,
                                           absl::FunctionRef<bool()> keep_going) const {
  auto& w = static_cast<BertWorkspace&>(workspace);
  const int rows = batch.tokens();
  w.Reserve(config_, rows, team.lanes());
  Embed(batch, team, w.hidden.data());
  for (size_t l = 0; l < layers_.size(); ++l) {
    if (!keep_going()) return absl::CancelledError("the step was given up between layers");
    const Layer& layer = layers_[l];
    layer.query_key_value.Run(team, w.hidden.data(), rows, Activation::kNone, w.wide.data());
    Attend(static_cast<int>(l), batch, team, w);
    layer.attention_output.RunAddResidual(team, w.attended.data(), rows, w.hidden.data(), w.sum.data());
    Normalize(layer.attention_norm, team, w.sum.data(), rows, w.attended.data());
    layer.intermediate.Run(team, w.attended.data(), rows, config_.activation, w.wide.data());
    layer.output.RunAddResidual(team, w.wide.data(), rows, w.attended.data(), w.sum.data());
    Normalize(layer.output_norm, team, w.sum.data(), rows, w.hidden.data());
  }
  return w.hidden.data();
}

int64_t Bert::weight_bytes() const {
  int64_t bytes = static_cast<int64_t>((words_.size() + positions_.size() + types_.size()) * sizeof(float));
  for (const Layer& layer : layers_) {
    bytes += layer.query_key_value.bytes() + layer.attention_output.bytes() + layer.intermediate.bytes() +
             layer.output.bytes();
  }
  return bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> MakeBert(const ModelConfig& config, const TensorSource& file) {
  return Bert::Make(config, file);
}

}  // namespace attnd
