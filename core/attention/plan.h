// AttentionPlan: the exact shapes and bytes of what a request asks of the attention, before any work.
#ifndef ATTND_CORE_ATTENTION_PLAN_H_
#define ATTND_CORE_ATTENTION_PLAN_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "core/attention/map_shape.h"
#include "core/attention/spec.h"

namespace attnd {

// Where an array lies in AttentionResult::data. Offsets are multiples of 4; an absent array has 0 bytes.
struct AttentionSection {
  int64_t offset = 0;
  int64_t bytes = 0;
};

// The maps' data: these arrays in this order, row-major, little-endian, each padded with zero bytes to a multiple of 4.
struct AttentionDataLayout {
  AttentionSection scales;     // f32 [maps, rows], kU8 only: the maximum of each row
  AttentionSection residuals;  // f32 [maps, rows], kTopK only: the row's sum less what was kept
  AttentionSection values;     // dtype [maps, rows, values_per_row]
  AttentionSection indices;    // u16 or u32 [maps, rows, values_per_row], kTopK only: the column of each value
  int value_bytes = 4;         // 4, 2 or 1
  int index_bytes = 0;         // 2, 4 where there are more than 65536 columns, 0 when dense
};

// All in bytes: everything that grows with heads x tokens.
struct AttentionSizes {
  int64_t data = 0;        // of the maps, on the wire
  int64_t statistics = 0;  // 4 bytes a number, on the wire
  int64_t staging = 0;     // work space while the pass runs: reductions and words in several pieces
  int64_t total() const { return data + statistics + staging; }
};

inline constexpr int64_t kNoAttentionByteCap = std::numeric_limits<int64_t>::max();

// Constant after Make; shared by any number of threads.
class AttentionPlan {
 public:
  // The one place where sizes come from: estimates call it with kNoAttentionByteCap. kInvalidArgument names the field
  // and the limit; kResourceExhausted when sizes().total() exceeds `byte_cap`, naming both.
  static absl::StatusOr<std::shared_ptr<const AttentionPlan>> Make(const AttentionSpec& spec,
                                                                   const AttentionInputs& inputs,
                                                                   int64_t byte_cap = kNoAttentionByteCap);

  const AttentionSpec& spec() const { return spec_; }
  int layers() const { return layers_; }  // of the model
  int heads() const { return heads_; }    // of the model
  int tokens() const { return tokens_; }

  // One label a map, in the order of the data: {layer, head}, {layer, -1} when heads are reduced, {-1, -1} when layers
  // are too. Empty without maps.
  const std::vector<LayerHead>& maps() const { return maps_; }
  int rows() const { return shape_.rows(); }                                              // of each map
  int columns() const { return shape_.columns(); }                                        // of each map
  const std::vector<TokenSpan>& row_tokens() const { return shape_.row_tokens(); }        // [rows], tokens of each row
  const std::vector<TokenSpan>& column_tokens() const { return shape_.column_tokens(); }  // [columns]
  int values_per_row() const { return values_per_row_; }                                  // columns(), or k
  const AttentionDataLayout& layout() const { return layout_; }

  // The query rows that a recorder must see, at least: all for statistics and a rollout, else from the first to the
  // last one of the maps. Others it takes and drops.
  TokenSpan needed_rows() const;

  const std::vector<LayerHead>& statistics_heads() const { return statistics_heads_; }  // empty without statistics
  const std::vector<int>& special_tokens() const { return special_tokens_; }            // their positions, ascending
  // Position of the last earlier occurrence of each token, or -1: [tokens], empty where no statistic needs it.
  const std::vector<int>& earlier() const { return earlier_; }

  const AttentionSizes& sizes() const { return sizes_; }

  // For the recorder.
  const MapShape& shape() const { return shape_; }
  const HeadSelection& selection() const { return *spec_.selection; }
  const HeadSelection& statistics_selection() const { return *spec_.statistics_selection; }
  int64_t reduced_rows() const { return reduced_rows_; }  // accumulated rows of `tokens` floats
  int64_t pooled_rows() const { return pooled_rows_; }    // accumulated rows of `columns` floats

 private:
  AttentionPlan(const AttentionSpec& spec, const AttentionInputs& inputs);
  void PlanMaps();
  void PlanStatistics();

  AttentionSpec spec_;  // both selections set
  int layers_;
  int heads_;
  int tokens_;
  std::vector<LayerHead> maps_;
  MapShape shape_;
  int values_per_row_ = 0;
  AttentionDataLayout layout_;
  std::vector<LayerHead> statistics_heads_;
  std::vector<int> special_tokens_;
  std::vector<int> earlier_;
  int64_t reduced_rows_ = 0;
  int64_t pooled_rows_ = 0;
  AttentionSizes sizes_;
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_PLAN_H_
