#include "core/engine/attention_call.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/aligned.h"
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

// The width of vectors that are multiplied in place of those of `head_dim`: kernels are compiled for a width and kept,
// so callers who choose theirs freely have few to choose from.
int KernelWidth(int head_dim) {
  const int step = head_dim <= 256 ? 16 : head_dim <= 1024 ? 128 : 1024;
  return RoundUp(head_dim, step);
}

// Of one lane.
struct Scratch {
  AttentionScratch attention;
  AlignedBuffer<float> query, output;  // [rows of a tile, width]
  AlignedBuffer<float> key, value;     // [keys, width]
};

// `rows` rows of `from`, [rows, columns], as [rows, width] with zeros behind them.
const float* Widen(const float* from, int64_t rows, int columns, int width, AlignedBuffer<float>& to) {
  if (columns == width) return from;
  to.Reserve(static_cast<size_t>(rows * width));
  for (int64_t r = 0; r < rows; ++r) {
    float* row = to.data() + r * width;
    std::copy_n(from + r * columns, columns, row);
    std::fill(row + columns, row + width, 0.0f);
  }
  return to.data();
}

// Computes rows [begin, end) of head `head` of the flattened [batch, heads].
void RunTile(const AttentionCall& call, int64_t head, int64_t begin, int64_t end, Scratch& scratch) {
  const int64_t b = head / call.heads, h = head % call.heads;
  const int64_t key_head = b * call.key_heads + h / (call.heads / call.key_heads);
  const int head_dim = static_cast<int>(call.head_dim), width = KernelWidth(head_dim);
  const int64_t keys_at = key_head * call.keys * head_dim;
  const int64_t row = head * call.queries + begin, rows = end - begin;
  float* const output = call.output + row * head_dim;
  float* wide_output = output;
  if (width != head_dim) {
    scratch.output.Reserve(static_cast<size_t>(rows * width));
    wide_output = scratch.output.data();
  }
  // The head without its rows before `begin`.
  AttentionHead one{.query = Widen(call.query + row * head_dim, rows, head_dim, width, scratch.query),
                    .key = Widen(call.key + keys_at, call.keys, head_dim, width, scratch.key),
                    .value = Widen(call.value + keys_at, call.keys, head_dim, width, scratch.value),
                    .output = wide_output,
                    .query_stride = width,
                    .key_stride = width,
                    .value_stride = width,
                    .output_stride = width,
                    .queries = static_cast<int>(call.queries - begin),
                    .keys = static_cast<int>(call.keys),
                    .head_dim = width,
                    .value_dim = width,
                    .scale = call.scale,
                    .causal = call.causal};
  if (call.mask != nullptr) {
    one.mask = call.mask + b * call.mask_batch_stride + h * call.mask_head_stride + begin * call.keys;
    one.mask_stride = call.keys;
  }
  const auto keep = [&](int query_begin, int query_count, const float* probabilities, int row_stride,
                        const float* entropy) {
    const int64_t index = row + query_begin;
    for (int i = 0; i < query_count && call.weights != nullptr; ++i) {
      std::copy_n(probabilities + int64_t{i} * row_stride, call.keys, call.weights + (index + i) * call.keys);
    }
    if (call.entropy != nullptr) std::copy_n(entropy, query_count, call.entropy + index);
  };
  const ProbabilityFn probabilities(keep);
  const bool wanted = call.weights != nullptr || call.entropy != nullptr;
  AttendRows(one, 0, static_cast<int>(rows), scratch.attention, wanted ? &probabilities : nullptr);
  for (int64_t r = 0; r < rows && width != head_dim; ++r) {
    std::copy_n(wide_output + r * width, head_dim, output + r * head_dim);
  }
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
  std::vector<Scratch> scratch(static_cast<size_t>(team.lanes()));
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
