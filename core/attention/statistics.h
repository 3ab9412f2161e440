// StatisticsRecorder: what heads do, in a few numbers, without their maps.
#ifndef ATTND_CORE_ATTENTION_STATISTICS_H_
#define ATTND_CORE_ATTENTION_STATISTICS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "core/attention/plan.h"
#include "core/attention/sink.h"

namespace attnd {

// What was asked for, else empty. `heads` is plan.statistics_heads().
struct AttentionStatistics {
  std::vector<float> entropy;        // [heads, tokens]
  std::vector<float> mean_entropy;   // [heads]
  std::vector<float> confidence;     // [heads]
  std::vector<float> distance;       // [heads]
  std::vector<float> self;           // [heads]
  std::vector<float> previous;       // [heads]
  std::vector<float> next;           // [heads]
  std::vector<float> special_mass;   // [heads]
  std::vector<float> received_mass;  // [heads, tokens]
  std::vector<float> induction;      // [heads]
  std::vector<float> duplicate;      // [heads]
};

// Thread rules as AttentionSink. Sums are kept in double, so that the order of the tiles does not show in the result.
class StatisticsRecorder {
 public:
  explicit StatisticsRecorder(std::shared_ptr<const AttentionPlan> plan);
  // `index`: the head's position in plan.statistics_heads().
  void Tile(int index, const AttentionTile& tile);
  // Once. kInternal when rows are missing.
  absl::StatusOr<AttentionStatistics> Finish();

 private:
  // The sums of one head over its rows.
  struct Head {
    std::mutex mutex;
    int rows = 0;       // arrived
    int real_rows = 0;  // of them not fully masked
    double entropy = 0, maxima = 0, distance = 0, mass = 0, self = 0, previous = 0, next = 0, special = 0;
    double induction = 0, duplicate = 0;
  };

  const std::shared_ptr<const AttentionPlan> plan_;
  const int tokens_;
  const uint32_t wanted_;
  std::vector<float> entropy_;     // [heads, tokens]
  std::unique_ptr<Head[]> heads_;  // [heads]
  std::vector<double> received_;   // [heads, tokens]
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_STATISTICS_H_
