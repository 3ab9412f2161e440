#include "core/engine/attention_call.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/ops/attention.h"

namespace attnd {
namespace {

constexpr int64_t kRowBlock = 64;            // rows AttendRows takes at a time
constexpr int64_t kTilesPerLane = 8;         // enough that the lanes end together
constexpr int64_t kMaxTileScores = 1 << 22;  // bounds the time between two looks at keep_going to milliseconds

int64_t RowsPerTile(const AttentionCall& call, int lanes) {
  const int64_t blocks = (call.queries + kRowBlock - 1) / kRowBlock;
  const int64_t heads = call.batch * call.heads;
  const int64_t tiles_per_head = std::max<int64_t>(1, lanes * kTilesPerLane / heads);
  const int64_t even = (blocks + tiles_per_head - 1) / tiles_per_head;
  const int64_t bounded = std::max<int64_t>(1, kMaxTileScores / (kRowBlock * call.keys));
  return std::min(even, bounded) * kRowBlock;
}

float Entropy(const float* row, int64_t columns) {
  double sum = 0;
  for (int64_t j = 0; j < columns; ++j) {
    if (row[j] > 0) sum -= static_cast<double>(row[j]) * std::log(row[j]);
  }
  return static_cast<float>(sum);
}

// Computes rows [begin, end) of head `head` of the flattened [batch, heads].
void RunTile(const AttentionCall& call, int64_t head, int64_t begin, int64_t end, AttentionScratch& scratch) {
  const int64_t b = head / call.heads, h = head % call.heads;
  const int64_t key_head = b * call.key_heads + h / (call.heads / call.key_heads);
  const int stride = static_cast<int>(call.head_dim);
  AttentionHead one{.query = call.query + head * call.queries * call.head_dim,
                    .key = call.key + key_head * call.keys * call.head_dim,
                    .value = call.value + key_head * call.keys * call.head_dim,
                    .output = call.output + head * call.queries * call.head_dim,
                    .query_stride = stride,
                    .key_stride = stride,
                    .value_stride = stride,
                    .output_stride = stride,
                    .queries = static_cast<int>(call.queries),
                    .keys = static_cast<int>(call.keys),
                    .head_dim = stride,
                    .value_dim = stride,
                    .scale = call.scale,
                    .causal = call.causal};
  if (call.mask != nullptr) {
    one.mask = call.mask + b * call.mask_batch_stride + h * call.mask_head_stride;
    one.mask_stride = call.keys;
  }
  const auto keep = [&](int query_begin, int query_count, const float* probabilities, int row_stride, const float*) {
    for (int i = 0; i < query_count; ++i) {
      const float* row = probabilities + static_cast<int64_t>(i) * row_stride;
      const int64_t index = head * call.queries + query_begin + i;
      if (call.weights != nullptr) std::copy_n(row, call.keys, call.weights + index * call.keys);
      if (call.entropy != nullptr) call.entropy[index] = Entropy(row, call.keys);
    }
  };
  const ProbabilityFn probabilities(keep);
  const bool wanted = call.weights != nullptr || call.entropy != nullptr;
  AttendRows(one, static_cast<int>(begin), static_cast<int>(end), scratch, wanted ? &probabilities : nullptr);
}

}  // namespace

absl::Status CheckAttentionCall(const AttentionCall& call) {
  for (int64_t size : {call.batch, call.heads, call.key_heads, call.queries, call.keys, call.head_dim}) {
    if (size < 1) return absl::InvalidArgumentError("every dimension must be at least 1");
  }
  if (call.heads % call.key_heads != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(call.heads, " query heads are not a multiple of the ", call.key_heads, " key heads"));
  }
  if (call.keys > kMaxAttentionCallKeys) {
    return absl::InvalidArgumentError(absl::StrCat(call.keys, " keys; at most ", kMaxAttentionCallKeys));
  }
  if (call.head_dim > kMaxAttentionCallHeadDim) {
    return absl::InvalidArgumentError(
        absl::StrCat("vectors of ", call.head_dim, " numbers; at most ", kMaxAttentionCallHeadDim));
  }
  if (call.queries > std::numeric_limits<int32_t>::max() / 2) {
    return absl::InvalidArgumentError(absl::StrCat(call.queries, " queries; at most 2^30"));
  }
  if (!std::isfinite(call.scale)) return absl::InvalidArgumentError("the scale is not a finite number");
  return absl::OkStatus();
}

absl::Status RunAttentionCall(const AttentionCall& call, WorkTeam::Session& team,
                              absl::FunctionRef<bool()> keep_going) {
  const int64_t rows = RowsPerTile(call, team.lanes());
  const int64_t tiles_per_head = (call.queries + rows - 1) / rows;
  std::vector<AttentionScratch> scratch(static_cast<size_t>(team.lanes()));
  std::atomic<bool> stopped{false};
  team.ParallelFor(call.batch * call.heads * tiles_per_head, [&](int64_t tile, int lane) {
    if (stopped.load(std::memory_order_relaxed)) return;
    if (!keep_going()) {
      stopped.store(true, std::memory_order_relaxed);
      return;
    }
    const int64_t begin = tile % tiles_per_head * rows;
    RunTile(call, tile / tiles_per_head, begin, std::min(begin + rows, call.queries),
            scratch[static_cast<size_t>(lane)]);
  });
  return stopped.load() ? absl::CancelledError("the computation was stopped") : absl::OkStatus();
}

}  // namespace attnd
