#include "core/attention/statistics.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/attention/statistics_kernel.h"

namespace attnd {
namespace {

constexpr uint32_t kEntropyStatistics = kStatEntropy | kStatMeanEntropy;
constexpr uint32_t kColumnStatistics = kStatDistance | kStatSpecialMass | kStatReceivedMass;

// The sum of P_i,i+offset over the tile's rows that have such a key.
double DiagonalSum(const AttentionTile& tile, int offset) {
  double sum = 0;
  for (int row = 0; row < tile.query_count; ++row) {
    const int key = tile.query_begin + row + offset;
    if (key >= 0 && key < tile.key_count) sum += tile.probabilities[static_cast<ptrdiff_t>(row) * tile.stride + key];
  }
  return sum;
}

// The sum over the tile's rows of P_i,j+offset for every earlier occurrence j of the row's token.
double RepeatSum(const AttentionTile& tile, const std::vector<int>& earlier, int offset) {
  double sum = 0;
  for (int row = 0; row < tile.query_count; ++row) {
    const float* const p = tile.probabilities + static_cast<ptrdiff_t>(row) * tile.stride;
    for (int j = earlier[tile.query_begin + row]; j >= 0; j = earlier[j]) sum += p[j + offset];
  }
  return sum;
}

float Ratio(double sum, double count) { return count > 0 ? static_cast<float>(sum / count) : 0.0f; }

}  // namespace

StatisticsRecorder::StatisticsRecorder(std::shared_ptr<const AttentionPlan> plan)
    : plan_(std::move(plan)),
      tokens_(plan_->tokens()),
      wanted_(plan_->spec().statistics),
      heads_(new Head[plan_->statistics_heads().size()]) {
  const size_t per_token = plan_->statistics_heads().size() * tokens_;
  if ((wanted_ & kStatEntropy) != 0) entropy_.resize(per_token);
  if ((wanted_ & kStatReceivedMass) != 0) received_.resize(per_token);
}

void StatisticsRecorder::Tile(int index, const AttentionTile& tile) {
  static thread_local std::vector<float> columns;  // [key_count]
  const size_t begin = static_cast<size_t>(index) * tokens_;
  TileWants wants;
  wants.entropy = (wanted_ & kEntropyStatistics) != 0;
  if (!entropy_.empty()) wants.row_entropy = entropy_.data() + begin + tile.query_begin;
  if ((wanted_ & kColumnStatistics) != 0) {
    if (columns.size() < static_cast<size_t>(tile.key_count)) columns.resize(tile.key_count);
    wants.columns = columns.data();
  }
  const TileSums sums = TileStatistics(tile, wants);
  const double self = (wanted_ & kStatSelf) != 0 ? DiagonalSum(tile, 0) : 0;
  const double previous = (wanted_ & kStatPrevious) != 0 ? DiagonalSum(tile, -1) : 0;
  const double next = (wanted_ & kStatNext) != 0 ? DiagonalSum(tile, 1) : 0;
  const double induction = (wanted_ & kStatInduction) != 0 ? RepeatSum(tile, plan_->earlier(), 1) : 0;
  const double duplicate = (wanted_ & kStatDuplicate) != 0 ? RepeatSum(tile, plan_->earlier(), 0) : 0;

  Head& head = heads_[index];
  const std::lock_guard lock(head.mutex);
  head.rows += tile.query_count;
  head.real_rows += sums.real_rows;
  head.entropy += sums.entropy;
  head.maxima += sums.maxima;
  head.distance += sums.distance;
  head.self += self;
  head.previous += previous;
  head.next += next;
  head.induction += induction;
  head.duplicate += duplicate;
  if ((wanted_ & kStatDistance) != 0) {
    for (int j = 0; j < tile.key_count; ++j) head.mass += columns[j];
  }
  if ((wanted_ & kStatSpecialMass) != 0) {
    for (const int j : plan_->special_tokens()) head.special += columns[j];
  }
  if (!received_.empty()) {
    double* const received = received_.data() + begin;
    for (int j = 0; j < tile.key_count; ++j) received[j] += columns[j];
  }
}

absl::StatusOr<AttentionStatistics> StatisticsRecorder::Finish() {
  AttentionStatistics result;
  const int heads = static_cast<int>(plan_->statistics_heads().size());
  for (int i = 0; i < heads; ++i) {
    const Head& head = heads_[i];
    if (head.rows != tokens_) {
      const LayerHead label = plan_->statistics_heads()[i];
      return absl::InternalError(absl::StrCat("attention: L", label.layer, "H", label.head, ": ", head.rows, " of ",
                                              tokens_, " rows arrived"));
    }
    const auto add = [&](AttentionStatistic statistic, std::vector<float>& out, double sum, double count) {
      if ((wanted_ & statistic) != 0) out.push_back(Ratio(sum, count));
    };
    // A fully masked row has no neighbour to look at either; masks leave whole rows out at the end of a sequence only.
    const int neighbours = head.real_rows - 1;
    add(kStatMeanEntropy, result.mean_entropy, head.entropy, head.real_rows);
    add(kStatConfidence, result.confidence, head.maxima, head.real_rows);
    add(kStatDistance, result.distance, head.distance, head.mass);
    add(kStatSelf, result.self, head.self, head.real_rows);
    add(kStatPrevious, result.previous, head.previous, neighbours);
    add(kStatNext, result.next, head.next, neighbours);
    add(kStatSpecialMass, result.special_mass, head.special, head.real_rows);
    // The mass of a row is 1.
    add(kStatInduction, result.induction, head.induction, head.real_rows);
    add(kStatDuplicate, result.duplicate, head.duplicate, head.real_rows);
  }
  result.entropy = std::move(entropy_);
  result.received_mass.assign(received_.begin(), received_.end());
  return result;
}

}  // namespace attnd
