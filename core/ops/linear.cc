#include "core/ops/linear.h"

#include <algorithm>

#include "core/ops/block_kernel.h"
#include "core/ops/integer_tile.h"
#include "core/ops/linear_input.h"
#include "core/ops/quantize.h"
#include "core/ops/slices.h"

namespace attnd {
namespace {

// Rows of x that stay in L2 while the column blocks pass by, and rows of one kernel call: where weights are made wider
// first, those of a panel.
constexpr int kPanelRows = 128;
constexpr int kTileRows = 64;
static_assert(kTileRows <= UkernelTable::kMaxRows && kTileRows == kSlicedRows);

// Tiles per lane that even out lanes of unequal speed. 6 and 12 measured alike on 2 cores.
constexpr int64_t kTilesPerLane = 12;

// Rows of x converted at a time, and most that the caller converts alone: waking the others would cost more.
constexpr int kConvertedRows = 16;
constexpr int kConvertedAlone = 32;

// Rows of a gate that is not part of the strips.
constexpr int kGatedRows = 16;

// Columns of a strip: as many blocks as fit have their products side by side in a tile of their own, so that y, whose
// rows are far apart, is written once and in several cache lines a row.
constexpr int kStripColumns = 96;
// Where rows are few, strips are narrower: this many for each lane at least, so that lanes end together.
constexpr int kStripsPerLane = 4;
// A single row's may be as wide as the tile has room for, and fewer a lane.
static_assert(kRowStripColumns <= kTileRows * kStripColumns);
constexpr int kRowStripsPerLane = 2;
// A strip that is scaled for the next layer is one group of its inputs, or of two halves; so wide at most.
constexpr int kQuantizedColumns = 384;
static_assert(kPanelRows * kStripColumns <= kTileRows * kQuantizedColumns);

}  // namespace

// The products of some rows and neighbouring outputs, in a tile of their own.
struct Linear::Strip {
  int row, rows;
  int column, columns;  // outputs; of either half where there are two
  float* product;       // [rows, stride]
  int64_t stride;
};

Linear::Linear(absl::Span<const float> weight, absl::Span<const float> bias, int outputs, int inputs,
               Precision precision, int group_inputs, bool compact)
    : inputs_(inputs),
      outputs_(outputs),
      weights_(weight, outputs, inputs, precision, group_inputs, compact),
      bias_(outputs, 0.0f),
      gate_in_strips_(bias.empty() && outputs % (2 * weights_.block()) == 0 && 2 * weights_.block() <= kStripColumns),
      tile_kernel_(HasTileKernel(weights_.data())),
      block_kernel_(weights_.quads() || HasBlockKernel(weights_.data(), weights_.block(), weights_.group())),
      whole_panels_(block_kernel_ && WidensWeights(weights_.data()) && outputs % weights_.block() == 0) {
  std::copy(bias.begin(), bias.end(), bias_.begin());
  const bool sums_apart = weights_.data() == UkernelData::kU8S8;
  const UkernelShape shape{.n = weights_.block(),
                           .k = weights_.group(),
                           .lda = weights_.padded_inputs(),
                           .ldb = weights_.block(),
                           .ldc = sums_apart ? weights_.block() : kStripColumns,
                           .data = weights_.data()};
  if (!HasUkernel(weights_.data())) return;
  whole_ = GetUkernelTable(shape);
  UkernelShape last = shape;
  last.n = outputs - (weights_.blocks() - 1) * weights_.block();
  last_ = GetUkernelTable(last);
}

// Room in x for `rows` rows as this layer multiplies them where that is not f32.
void Linear::Reserve(int rows, LinearRows& x) const {
  x.quantized_ = true;
  x.levels_.Reserve((rows + kPaddingRows) * weights_.row_bytes());
  x.scales_.Reserve(int64_t{weights_.groups()} * rows);
  x.offsets_.Reserve(int64_t{weights_.groups()} * rows);
}

// Where the inputs of a group of one of `rows` rows are, in bytes.
int64_t Linear::RowOffset(int rows, int row, int group) const {
  if (weights_.sliced()) return PlaceOfSlices(rows, row, weights_.row_bytes(), group * weights_.group()).offset;
  return row * weights_.row_bytes() + group * (weights_.row_bytes() / weights_.groups());
}

Linear::Input Linear::Prepare(WorkTeam::Session& team, const float* x, int rows) const {
  const UkernelData data = weights_.data();
  if (weights_.floats()) {
    return {.data = x, .row_bytes = weights_.row_bytes(), .rows = rows};
  }
  const int width = weights_.padded_inputs();
  const int64_t row_bytes = weights_.row_bytes();
  // Of the thread that runs the layer; its helpers write their part.
  thread_local LinearRows owned;
  LinearRows& converted = owned;
  Reserve(rows, converted);
  const Input input = Prepare(team, converted, rows);
  uint8_t* to = converted.levels_.data();
  float* scales = converted.scales_.data();
  float* offsets = converted.offsets_.data();
  const int tile_rows = rows <= kConvertedAlone ? rows : kConvertedRows;
  team.ParallelFor((rows + tile_rows - 1) / tile_rows, [&](int64_t tile, int) {
    const int row = static_cast<int>(tile) * tile_rows;
    const int count = std::min(tile_rows, rows - row);
    const float* from = x + int64_t{row} * inputs_;
    if (data == UkernelData::kBf16) {
      ConvertRowsToBf16(from, count, inputs_, width, reinterpret_cast<uint16_t*>(to + row * row_bytes));
      return;
    }
    const int group = weights_.group();
    for (int r = row; r < row + count; ++r, from += inputs_) {
      for (int g = 0; g < weights_.groups(); ++g) {
        const int64_t at = int64_t{g} * rows + r;
        const int columns = std::min(group, inputs_ - g * group);
        if (weights_.sliced()) {
          const SlicePlace place = PlaceOfSlices(rows, r, row_bytes, g * group);
          SliceRow(from + g * group, columns, group, place.height, reinterpret_cast<int8_t*>(to + place.offset),
                   scales + at);
          continue;
        }
        uint8_t* levels = to + RowOffset(rows, r, g);
        if (weights_.f16()) {
          ScaleRowToF16(from + g * group, columns, group, reinterpret_cast<uint16_t*>(levels), scales + at);
        } else {
          QuantizeRow(from + g * group, columns, group, levels, scales + at, offsets + at);
        }
      }
    }
  });
  return input;
}

Linear::Input Linear::Prepare(WorkTeam::Session& team, const LinearRows& x, int rows) const {
  if (!x.quantized_) return Prepare(team, x.floats_.data(), rows);
  return {.data = x.levels_.data(),
          .row_bytes = weights_.row_bytes(),
          .rows = rows,
          .scales = x.scales_.data(),
          .offsets = x.offsets_.data()};
}

// Blocks of columns of a strip, as many as there is room for, fewer where lanes would go without.
int Linear::StripBlocks(const WorkTeam::Session& team, int rows, int parts) const {
  const int64_t panels = (rows + kPanelRows - 1) / kPanelRows;
  const int64_t most_blocks = (rows == 1 ? kRowStripColumns : kStripColumns) / parts / weights_.block();
  const int64_t least_strips = team.lanes() * (rows == 1 ? kRowStripsPerLane : kStripsPerLane);
  return static_cast<int>(std::clamp<int64_t>(panels * weights_.blocks() / parts / least_strips, 1, most_blocks));
}

// Runs epilogue(strip) for every tile. Of 2 `parts`, a strip is of either half of the outputs, side by side.
template <typename Epilogue>
void Linear::RunTiles(WorkTeam::Session& team, const Input& input, int parts, int strip_blocks,
                      const Epilogue& epilogue) const {
  const int rows = input.rows;
  const int blocks = weights_.blocks() / parts;
  const int panels = (rows + kPanelRows - 1) / kPanelRows;
  const int strips = (blocks + strip_blocks - 1) / strip_blocks;
  const int64_t stride = std::max(kStripColumns, strip_blocks * weights_.block() * parts);
  // Enough tiles for every lane; no more, since each tile reads its panel of x anew.
  const int64_t wanted = team.lanes() * kTilesPerLane;
  const int groups = static_cast<int>(std::clamp<int64_t>((wanted + panels - 1) / panels, 1, strips));
  const int tile_rows = whole_panels_ && stride == kStripColumns ? kPanelRows : kTileRows;
  team.ParallelFor(int64_t{panels} * groups, [&](int64_t tile, int) {
    alignas(64) float product[kTileRows * kQuantizedColumns];  // [tile_rows, stride]
    MultiplyScratch scratch;
    const int panel = static_cast<int>(tile / groups);
    const int group = static_cast<int>(tile % groups);
    const int row_end = std::min(rows, (panel + 1) * kPanelRows);
    const int strip_end = static_cast<int>(int64_t{strips} * (group + 1) / groups);
    for (int strip = static_cast<int>(int64_t{strips} * group / groups); strip < strip_end; ++strip) {
      const int first_block = strip * strip_blocks, last_block = std::min(blocks, first_block + strip_blocks);
      const int column = first_block * weights_.block();
      const int columns = std::min(last_block * weights_.block(), outputs_ / parts) - column;
      for (int row = panel * kPanelRows; row < row_end; row += tile_rows) {
        const int count = std::min(tile_rows, row_end - row);
        for (int part = 0; part < parts; ++part) {
          Multiply(input, row, count, part * blocks + first_block, last_block - first_block, row == panel * kPanelRows,
                   scratch, product + part * columns, stride);
        }
        epilogue(Strip{row, count, column, columns, product, stride});
      }
    }
  });
}

void Linear::Activate(WorkTeam::Session& team, const Input& input, Activation activation, float* y) const {
  RunTiles(team, input, 1, StripBlocks(team, input.rows, 1), [&](const Strip& s) {
    AddBiasAndActivate(activation, bias_.data() + s.column, s.rows, s.columns, s.product, s.stride,
                       y + int64_t{s.row} * outputs_ + s.column, outputs_);
  });
}

void Linear::AddResidual(WorkTeam::Session& team, const Input& input, const float* residual, float* y) const {
  RunTiles(team, input, 1, StripBlocks(team, input.rows, 1), [&](const Strip& s) {
    const int64_t at = int64_t{s.row} * outputs_ + s.column;
    AddBiasAndResidual(bias_.data() + s.column, residual + at, s.rows, s.columns, s.product, s.stride, y + at,
                       outputs_);
  });
}

void Linear::Run(WorkTeam::Session& team, const float* x, int rows, Activation activation, float* y) const {
  Activate(team, Prepare(team, x, rows), activation, y);
}

void Linear::Run(WorkTeam::Session& team, const LinearRows& x, int rows, Activation activation, float* y) const {
  Activate(team, Prepare(team, x, rows), activation, y);
}

void Linear::RunAddResidual(WorkTeam::Session& team, const float* x, int rows, const float* residual, float* y) const {
  AddResidual(team, Prepare(team, x, rows), residual, y);
}

void Linear::RunAddResidual(WorkTeam::Session& team, const LinearRows& x, int rows, const float* residual,
                            float* y) const {
  AddResidual(team, Prepare(team, x, rows), residual, y);
}

void Linear::RunGated(WorkTeam::Session& team, const float* x, int rows, Activation activation, float* y) const {
  const int wide = outputs_ / 2;
  if (gate_in_strips_) {
    RunTiles(team, Prepare(team, x, rows), 2, StripBlocks(team, rows, 2), [&](const Strip& s) {
      GateRows(activation, s.rows, s.columns, s.product, s.stride, y + int64_t{s.row} * wide + s.column, wide);
    });
    return;
  }
  thread_local AlignedBuffer<float> owned;  // [rows, outputs]
  AlignedBuffer<float>& both = owned;       // of this thread in its helpers too
  both.Reserve(int64_t{rows} * outputs_);
  Run(team, x, rows, Activation::kNone, both.data());
  team.ParallelFor((rows + kGatedRows - 1) / kGatedRows, [&](int64_t tile, int) {
    const int64_t row = tile * kGatedRows;
    GateRows(activation, static_cast<int>(std::min<int64_t>(kGatedRows, rows - row)), wide,
             both.data() + row * outputs_, outputs_, y + row * wide, wide);
  });
}

// epilogue(strip, tile) for strips that `next` takes: but in bf16 they are groups of its inputs. Returns false where
// they can't be that.
template <typename Epilogue>
bool Linear::RunQuantized(WorkTeam::Session& team, const float* x, int rows, int parts, const Linear& next,
                          LinearRows& y, const Epilogue& epilogue) const {
  const PackedWeights& to = next.weights_;
  if (to.floats() || to.padded_inputs() != outputs_ / parts) return false;
  int strip_blocks = StripBlocks(team, rows, parts);
  if (to.scaled()) {
    const int64_t panels = (rows + kPanelRows - 1) / kPanelRows;
    const bool fits = to.group() % weights_.block() == 0 && to.group() * parts <= kQuantizedColumns &&
                      panels * to.groups() >= 2 * team.lanes();
    if (!fits) return false;
    strip_blocks = to.group() / weights_.block();
  }
  next.Reserve(rows, y);
  RunTiles(team, Prepare(team, x, rows), parts, strip_blocks, [&](const Strip& s) {
    const int group = s.column / to.group();
    const int64_t at = int64_t{group} * rows + s.row;
    const int64_t value_bytes = to.row_bytes() / to.padded_inputs();
    const int64_t column_bytes = (s.column - group * to.group()) * value_bytes;  // 0 but in bf16
    epilogue(s, QuantizedTile{.format = to.rows(),
                              .rows = y.levels_.data() + next.RowOffset(rows, s.row, group) + column_bytes,
                              .stride = to.row_bytes(),
                              .scales = y.scales_.data() + at,
                              .offsets = y.offsets_.data() + at,
                              .height = PlaceOfSlices(rows, s.row, to.row_bytes(), 0).height});
  });
  return true;
}

void Linear::Run(WorkTeam::Session& team, const float* x, int rows, Activation activation, const Linear& next,
                 LinearRows& y) const {
  const auto quantize = [&](const Strip& s, const QuantizedTile& to) {
    ActivateToQuantized(activation, bias_.data() + s.column, s.rows, s.columns, s.product, s.stride, to);
  };
  if (RunQuantized(team, x, rows, 1, next, y, quantize)) return;
  Run(team, x, rows, activation, y.Borrow(int64_t{rows + kPaddingRows} * outputs_));
}

void Linear::RunGated(WorkTeam::Session& team, const float* x, int rows, Activation activation, const Linear& next,
                      LinearRows& y) const {
  const auto quantize = [&](const Strip& s, const QuantizedTile& to) {
    GateToQuantized(activation, s.rows, s.columns, s.product, s.stride, to);
  };
  if (gate_in_strips_ && RunQuantized(team, x, rows, 2, next, y, quantize)) return;
  RunGated(team, x, rows, activation, y.Borrow(int64_t{rows + kPaddingRows} * (outputs_ / 2)));
}

}  // namespace attnd
