#include "core/model/decoder.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "core/ops/activation.h"
#include "core/ops/layer_norm.h"
#include "core/ops/rms_norm.h"

namespace attnd {
namespace {

// Most rows whose light work the caller does alone: waking the others would cost more.
constexpr int kRowsAlone = 8;
constexpr int kRowsPerTile = 16;
// Query rows of an attention tile where a chunk is split among lanes.
constexpr int kAttentionRows = 64;

// Calls fn(begin, end) for tiles of rows.
template <typename Fn>
void ForRows(WorkTeam::Session& team, int rows, const Fn& fn) {
  if (rows <= kRowsAlone) {
    if (rows > 0) fn(0, rows);
    return;
  }
  const auto tile = [&](int64_t i, int) {
    fn(static_cast<int>(i) * kRowsPerTile, std::min(rows, (static_cast<int>(i) + 1) * kRowsPerTile));
  };
  team.ParallelFor((rows + kRowsPerTile - 1) / kRowsPerTile, tile);
}

}  // namespace

Decoder::Decoder(const DecoderConfig& config, DecoderWeights weights)
    : config_(config),
      weights_(std::move(weights)),
      rope_(config.learned_positions ? RopeTable() : RopeTable(config.rope, config.max_tokens)),
      local_rope_(config.has_local_rope ? RopeTable(config.local_rope, config.max_tokens) : RopeTable()) {}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Make(const DecoderConfig& config, const TensorSource& source,
                                                       CheckpointNames names, Precision precision) {
  auto weights = ReadDecoderWeights(config, source, names, precision);
  if (!weights.ok()) return weights.status();
  return std::unique_ptr<Decoder>(new Decoder(config, *std::move(weights)));
}

void Decoder::Embed(const DecoderBatch& batch, WorkTeam::Session& team, float* hidden) const {
  const int width = config_.hidden_size;
  ForRows(team, batch.rows(), [&](int begin, int end) {
    for (int r = begin; r < end; ++r) {
      float* row = hidden + int64_t{r} * width;
      weights_.Embed(batch.ids[r], width, row);
      if (config_.embedding_scale != 1) {
        for (int c = 0; c < width; ++c) row[c] *= config_.embedding_scale;
      }
      if (!config_.learned_positions) continue;
      const float* position = weights_.positions.data() + int64_t{batch.positions[r]} * width;
      for (int c = 0; c < width; ++c) row[c] += position[c];
    }
  });
}

void Decoder::Normalize(const DecoderNorm& norm, WorkTeam::Session& team, const float* x, int rows, float* y) const {
  const int width = config_.hidden_size;
  ForRows(team, rows, [&](int begin, int end) {
    const int64_t at = int64_t{begin} * width;
    if (norm.bias.empty()) {
      RmsNorm(x + at, norm.weight.data(), config_.norm_epsilon, end - begin, width, y + at);
    } else {
      LayerNorm(x + at, norm.weight.data(), norm.bias.data(), config_.norm_epsilon, end - begin, width, y + at);
    }
  });
}

void Decoder::StoreKeys(int layer, const DecoderBatch& batch, KvPages& pages, WorkTeam::Session& team,
                        float* joined) const {
  const DecoderConfig& c = config_;
  const DecoderLayer& weights = weights_.layers[layer];
  const int dim = c.head_dim, queries = c.heads * dim;
  const int64_t stride = queries + int64_t{2} * c.key_heads * dim;
  const RopeTable& rope = c.has_local_rope && c.windows[layer] > 0 ? local_rope_ : rope_;
  ForRows(team, batch.rows(), [&](int begin, int end) {
    float* rows = joined + begin * stride;
    for (int r = begin; r < end && !weights.query_norm.empty(); ++r) {
      float* row = joined + r * stride;
      RmsNorm(row, weights.query_norm.weight.data(), c.norm_epsilon, c.heads, dim, row);
      RmsNorm(row + queries, weights.key_norm.weight.data(), c.norm_epsilon, c.key_heads, dim, row + queries);
    }
    if (!c.learned_positions) {
      // Keys follow queries: one turn for both.
      rope.Rotate(c.rope_layout, batch.positions.data() + begin, end - begin, c.heads + c.key_heads, dim, stride, rows);
    }
    // The rows of each chunk that lie in this tile.
    const auto after = std::upper_bound(batch.begins.begin(), batch.begins.end(), begin);
    for (size_t i = after - batch.begins.begin() - 1; i < batch.chunks.size() && batch.begins[i] < end; ++i) {
      const int first = std::max(begin, batch.begins[i]), last = std::min(end, batch.begins[i + 1]);
      for (int head = 0; head < c.key_heads; ++head) {
        const float* key = joined + first * stride + queries + head * dim;
        pages.Write(layer, head, batch.chunks[i].table.data(), batch.positions[first], last - first, key,
                    key + c.key_heads * dim, stride);
      }
    }
  });
}

void Decoder::Attend(int layer, const DecoderBatch& batch, const KvPages& pages, WorkTeam::Session& team,
                     const std::vector<int>& from, Workspace& w) const {
  const DecoderConfig& c = config_;
  const int dim = c.head_dim, group = c.heads / c.key_heads;
  const int64_t stride = (c.heads + int64_t{2} * c.key_heads) * dim;
  struct Tile {
    int chunk, begin, end, key_head;
  };
  std::vector<Tile> tiles;
  for (int i = 0; i < static_cast<int>(batch.chunks.size()); ++i) {
    const int rows = batch.begins[i + 1] - batch.begins[i];
    // The last rows of a chunk see most: they go first, so that lanes end together.
    for (int end = rows; end > from[i]; end -= kAttentionRows) {
      for (int head = 0; head < c.key_heads; ++head) {
        tiles.push_back({i, std::max(from[i], end - kAttentionRows), end, head});
      }
    }
  }
  team.ParallelFor(static_cast<int64_t>(tiles.size()), [&](int64_t t, int lane) {
    const Tile& tile = tiles[t];
    const DecoderChunk& chunk = batch.chunks[tile.chunk];
    const int64_t first = batch.begins[tile.chunk];
    const int first_head = tile.key_head * group;
    const PagedHeads heads = {.query = w.joined.data() + first * stride + first_head * dim,
                              .output = w.attended.data() + first * c.heads * dim + first_head * dim,
                              .query_stride = stride,
                              .output_stride = int64_t{c.heads} * dim,
                              .heads = group,
                              .rows = static_cast<int>(chunk.ids.size()),
                              .pages = &pages,
                              .layer = layer,
                              .key_head = tile.key_head,
                              .table = chunk.table.data(),
                              .first = chunk.past,
                              .window = c.windows[layer],
                              .scale = c.attention_scale};
    bool wanted = false;
    const bool seen = chunk.sink != nullptr && tile.end > chunk.sink_from;
    for (int h = 0; h < group && seen; ++h) wanted |= chunk.sink->Wants(layer, first_head + h);
    const int keys = chunk.past + heads.rows;
    const auto see = [&](int head, int row, int rows, const float* p, int p_stride, int count) {
      if (!chunk.sink->Wants(layer, first_head + head)) return;
      chunk.sink->Tile({layer, first_head + head, chunk.past + row, rows, count, p, p_stride});
    };
    const PagedProbabilityFn fn = see;  // refers to the lambda
    AttendPaged(heads, tile.begin, tile.end, w.scratch[lane], wanted ? &fn : nullptr, keys);
  });
}

void Decoder::FeedForward(const DecoderLayer& layer, WorkTeam::Session& team, int rows, Workspace& w) const {
  if (!config_.gated) {
    layer.up.Run(team, w.normed.data(), rows, config_.activation, layer.down, w.gated);
    return;
  }
  layer.up.RunGated(team, w.normed.data(), rows, config_.activation, layer.down, w.gated);
}

absl::StatusOr<Decoder::Output> Decoder::Forward(const DecoderBatch& batch, KvPages& pages, WorkTeam::Session& team,
                                                 Workspace& w, absl::FunctionRef<bool()> keep_going) const {
  const DecoderConfig& c = config_;
  const int width = c.hidden_size, queries = c.heads * c.head_dim;
  const int64_t padded = batch.rows() + Linear::kPaddingRows;
  for (AlignedBuffer<float>* buffer : {&w.hidden, &w.normed, &w.sum}) buffer->Reserve(padded * width);
  w.joined.Reserve(padded * (queries + 2 * c.key_heads * c.head_dim));
  w.attended.Reserve(padded * queries);
  w.logits.Reserve(int64_t{batch.logit_rows} * c.vocab_size);
  w.scratch.resize(std::max<size_t>(w.scratch.size(), team.lanes()));

  Embed(batch, team, w.hidden.data());
  int rows = batch.rows();
  std::vector<int> from(batch.chunks.size(), 0);  // first row of each chunk that is computed
  for (int l = 0; l < c.layers; ++l) {
    if (!keep_going()) return absl::CancelledError("the step was given up between layers");
    const DecoderLayer& layer = weights_.layers[l];
    Normalize(layer.attention_norm, team, w.hidden.data(), rows, w.normed.data());
    layer.query_key_value.Run(team, w.normed.data(), rows, Activation::kNone, w.joined.data());
    StoreKeys(l, batch, pages, team, w.joined.data());
    if (l + 1 == c.layers) {
      // After the last keys and values only the rows of outputs matter.
      for (size_t i = 0; i < batch.chunks.size(); ++i) {
        const DecoderChunk& chunk = batch.chunks[i];
        if (chunk.hidden) continue;
        from[i] = chunk.sink == nullptr ? chunk.logits_from : std::min(chunk.logits_from, chunk.sink_from);
      }
    }
    Attend(l, batch, pages, team, from, w);
    if (l + 1 == c.layers) {
      int kept = 0;
      for (size_t i = 0; i < batch.chunks.size(); ++i) {
        const int begin = batch.begins[i] + from[i], count = batch.begins[i + 1] - begin;
        if (kept != begin) {
          std::memmove(w.attended.data() + int64_t{kept} * queries, w.attended.data() + int64_t{begin} * queries,
                       int64_t{count} * queries * sizeof(float));
          std::memmove(w.hidden.data() + int64_t{kept} * width, w.hidden.data() + int64_t{begin} * width,
                       int64_t{count} * width * sizeof(float));
        }
        kept += count;
      }
      rows = kept;
      if (rows == 0) return Output{.logits = nullptr, .hidden = nullptr};
    }
    if (c.parallel_residual) {
      Normalize(layer.feed_forward_norm, team, w.hidden.data(), rows, w.normed.data());
      layer.attention_output.RunAddResidual(team, w.attended.data(), rows, w.hidden.data(), w.sum.data());
    } else if (c.post_norms) {
      layer.attention_output.Run(team, w.attended.data(), rows, Activation::kNone, w.sum.data());
      AddNormed(layer.post_attention_norm, team, w.hidden.data(), rows, w.sum.data());
      Normalize(layer.feed_forward_norm, team, w.sum.data(), rows, w.normed.data());
    } else {
      layer.attention_output.RunAddResidual(team, w.attended.data(), rows, w.hidden.data(), w.sum.data());
      Normalize(layer.feed_forward_norm, team, w.sum.data(), rows, w.normed.data());
    }
    FeedForward(layer, team, rows, w);
    if (c.post_norms) {
      layer.down.Run(team, w.gated, rows, Activation::kNone, w.hidden.data());
      AddNormed(layer.post_feed_forward_norm, team, w.sum.data(), rows, w.hidden.data());
    } else {
      layer.down.RunAddResidual(team, w.gated, rows, w.sum.data(), w.hidden.data());
    }
  }
  return Outputs(batch, from, rows, team, w);
}

// y = x + norm(y).
void Decoder::AddNormed(const DecoderNorm& norm, WorkTeam::Session& team, const float* x, int rows, float* y) const {
  const int width = config_.hidden_size;
  Normalize(norm, team, y, rows, y);
  ForRows(team, rows, [&](int begin, int end) {
    for (int64_t i = int64_t{begin} * width; i < int64_t{end} * width; ++i) y[i] += x[i];
  });
}

Decoder::Output Decoder::Outputs(const DecoderBatch& batch, const std::vector<int>& from, int rows,
                                 WorkTeam::Session& team, Workspace& w) const {
  const int width = config_.hidden_size;
  Normalize(weights_.final_norm, team, w.hidden.data(), rows, w.normed.data());
  // Rows of logits, gathered; rows of hidden states, back at their places.
  bool hidden = false;
  int logit_row = 0, row = 0;
  for (size_t i = 0; i < batch.chunks.size(); ++i) {
    const int count = batch.begins[i + 1] - batch.begins[i];
    const int logits = count - batch.chunks[i].logits_from;
    std::memcpy(w.sum.data() + int64_t{logit_row} * width,
                w.normed.data() + int64_t{row + batch.chunks[i].logits_from - from[i]} * width,
                int64_t{logits} * width * sizeof(float));
    if (batch.chunks[i].hidden) {
      std::memcpy(w.hidden.data() + int64_t{batch.begins[i]} * width, w.normed.data() + int64_t{row} * width,
                  int64_t{count} * width * sizeof(float));
      hidden = true;
    }
    logit_row += logits;
    row += count - from[i];
  }
  assert(logit_row == batch.logit_rows);
  if (logit_row > 0) weights_.head->Run(team, w.sum.data(), logit_row, Activation::kNone, w.logits.data());
  return {.logits = w.logits.data(), .hidden = hidden ? w.hidden.data() : nullptr};
}

}  // namespace attnd
