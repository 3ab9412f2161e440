// AttentionRecorder: turns probability tiles into the bytes and numbers that were asked for, while they are hot.
#ifndef ATTND_CORE_ATTENTION_RECORDER_H_
#define ATTND_CORE_ATTENTION_RECORDER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/attention/plan.h"
#include "core/attention/row_accumulator.h"
#include "core/attention/sink.h"
#include "core/attention/statistics.h"
#include "core/base/recycled_buffer.h"

namespace attnd {

// What came of a plan. Everything is in the order of plan->maps() and plan->statistics_heads().
struct AttentionResult {
  std::shared_ptr<const AttentionPlan> plan;
  RecycledBuffer data;             // plan->sizes().data bytes, plan->layout() says where what is
  AttentionStatistics statistics;  // plan->sizes().statistics bytes in all

  absl::Span<const uint8_t> bytes() const { return {data.data(), data.size()}; }
};

// One sequence of one pass. Memory is taken in the constructor, as the plan counted it; Tile() only takes short locks,
// and those only where rows of several heads or pieces meet, or to add a tile's sums to its head's.
class AttentionRecorder : public AttentionSink {
 public:
  explicit AttentionRecorder(std::shared_ptr<const AttentionPlan> plan);

  bool Wants(int layer, int head) const override { return wants_[static_cast<size_t>(layer) * heads_ + head] != 0; }
  void Tile(const AttentionTile& tile) override;

  // After the pass, once. Computes the rollout (selected layers x rows x tokens^2 multiply-adds); all else is done by
  // then. kInternal when tiles are missing.
  absl::StatusOr<AttentionResult> Finish();

 private:
  void MapTile(const AttentionTile& tile);
  void CopyTile(int map, const AttentionTile& tile);
  // Each returns how many rows became complete, 0 or 1. `row` and `probabilities` are [tokens], `columns` is [columns].
  int ReduceRow(int layer, int token, const float* row);
  int ShapeRow(int map, int token, const float* probabilities);
  void WriteRow(int map, int row, const float* columns);
  void Rollout();

  const std::shared_ptr<const AttentionPlan> plan_;
  const int heads_;
  const bool copies_;             // maps are the tiles as they are
  std::vector<uint8_t> wants_;    // [layers, heads]
  std::vector<int> layer_index_;  // [layers], position among the selected layers, or -1
  std::vector<int> layer_heads_;  // [selected layers], selected heads of each
  RowAccumulator reduced_;        // rows of the reductions, [tokens] each
  RowAccumulator pooled_;         // rows of words in several pieces, [columns] each
  RecycledBuffer data_;
  std::unique_ptr<StatisticsRecorder> statistics_;  // null when none is wanted
  std::atomic<int64_t> rows_written_{0};
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_RECORDER_H_
