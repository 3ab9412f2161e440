#include "core/model/self_attention.h"

#include <algorithm>
#include <cmath>

namespace attnd {
namespace {

struct Rows {
  int begin, end;
};

// The query rows of `sequence` that are computed where nobody looks at the maps.
Rows WantedRows(const SelfAttention& attention, const PackedBatch& batch, int sequence) {
  if (!attention.outputs_only) return {0, batch.length(sequence)};
  const int begin = batch.begins[sequence];
  return {batch.outputs[batch.output_begins[sequence]] - begin,
          batch.outputs[batch.output_begins[sequence + 1] - 1] + 1 - begin};
}

}  // namespace

void RunSelfAttention(const SelfAttention& attention, const PackedBatch& batch, WorkTeam::Session& team,
                      std::vector<AttentionScratch>& scratch) {
  const int heads = attention.heads, dim = attention.head_dim, width = heads * dim;
  const int64_t pairs = int64_t{batch.sequences()} * heads;
  // One tile a head: its keys are packed once. Where that leaves lanes idle, the query rows are split too.
  const int splits = static_cast<int>(std::max<int64_t>(1, 2 * team.lanes() / pairs));
  team.ParallelFor(pairs * splits, [&](int64_t tile, int lane) {
    const int sequence = static_cast<int>(tile / splits / heads);
    const int head = static_cast<int>(tile / splits % heads);
    const int split = static_cast<int>(tile % splits);
    const int tokens = batch.length(sequence);
    const int64_t begin = batch.begins[sequence];
    AttentionSink* sink = batch.sinks[sequence];
    if (sink != nullptr && !sink->Wants(attention.layer, head)) sink = nullptr;
    const Rows wanted = sink != nullptr ? Rows{0, tokens} : WantedRows(attention, batch, sequence);
    const int64_t count = wanted.end - wanted.begin;
    const int row_begin = wanted.begin + static_cast<int>(count * split / splits);
    const int row_end = wanted.begin + static_cast<int>(count * (split + 1) / splits);
    if (row_begin == row_end) return;
    const float* query = attention.qkv + begin * 3 * width + head * dim;
    const AttentionHead args = {.query = query,
                                .key = query + width,
                                .value = query + 2 * width,
                                .output = attention.output + begin * width + head * dim,
                                .query_stride = 3 * width,
                                .key_stride = 3 * width,
                                .value_stride = 3 * width,
                                .output_stride = width,
                                .queries = tokens,
                                .keys = tokens,
                                .head_dim = dim,
                                .value_dim = dim,
                                .scale = 1.0f / std::sqrt(static_cast<float>(dim)),
                                .bias = attention.bias == nullptr ? nullptr : attention.bias->center(head),
                                .bias_stride = -1,  // the next query is one nearer to each key
                                .window = attention.window,
                                .rounded = attention.rounded};
    if (sink == nullptr) {
      AttendRows(args, row_begin, row_end, scratch[lane], nullptr);
      return;
    }
    const auto tile_of = [&](int query_begin, int query_count, const float* probabilities, int stride,
                             const float* entropy) {
      sink->Tile({.layer = attention.layer,
                  .head = head,
                  .query_begin = query_begin,
                  .query_count = query_count,
                  .key_count = tokens,
                  .probabilities = probabilities,
                  .stride = stride,
                  .entropy = entropy});
    };
    const ProbabilityFn see = tile_of;  // refers to the lambda
    AttendRows(args, row_begin, row_end, scratch[lane], &see);
  });
}

}  // namespace attnd
