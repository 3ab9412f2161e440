#include "core/ops/linear.h"

#include <algorithm>

#include "core/base/cpu.h"

namespace attnd {
namespace {

// Rows of x that stay in L2 while the column blocks pass by, and rows of one kernel call.
constexpr int kPanelRows = 128;
constexpr int kTileRows = 64;
static_assert(kTileRows <= UkernelTable::kMaxRows);

// Tiles per lane that even out lanes of unequal speed. 6 and 12 measured alike on 2 cores.
constexpr int64_t kTilesPerLane = 12;

int BlockColumns() { return GetCpuPath() == CpuPath::kAvx512 ? 32 : 16; }

}  // namespace

Linear::Linear(absl::Span<const float> weight, absl::Span<const float> bias, int outputs, int inputs)
    : inputs_(inputs), outputs_(outputs), block_(BlockColumns()), bias_(outputs, 0.0f) {
  const int blocks = (outputs + block_ - 1) / block_;
  packed_ = AlignedBuffer<float>(int64_t{blocks} * inputs * block_);
  std::copy(bias.begin(), bias.end(), bias_.begin());
  for (int b = 0; b < blocks; ++b) {
    float* block = packed_.data() + int64_t{b} * inputs * block_;
    const int columns = std::min(block_, outputs - b * block_);
    // 16 inputs at a time: reads and writes both stay in whole cache lines.
    for (int k0 = 0; k0 < inputs; k0 += 16) {
      const int k1 = std::min(inputs, k0 + 16);
      for (int c = 0; c < columns; ++c) {
        const float* row = weight.data() + int64_t{b * block_ + c} * inputs;
        for (int k = k0; k < k1; ++k) block[k * block_ + c] = row[k];
      }
      for (int k = k0; k < k1; ++k) std::fill(block + k * block_ + columns, block + (k + 1) * block_, 0.0f);
    }
  }
  const UkernelShape shape{.n = block_, .k = inputs, .lda = inputs, .ldb = block_, .ldc = outputs};
  whole_ = GetUkernelTable(shape);
  UkernelShape last = shape;
  last.n = outputs - (blocks - 1) * block_;
  last_ = GetUkernelTable(last);
}

template <typename Epilogue>
void Linear::RunTiles(WorkTeam::Session& team, const float* x, int rows, float* y, const Epilogue& epilogue) const {
  const int blocks = (outputs_ + block_ - 1) / block_;
  const int panels = (rows + kPanelRows - 1) / kPanelRows;
  // Enough tiles for every lane; no more, since each tile reads its panel of x anew.
  const int64_t wanted = team.lanes() * kTilesPerLane;
  const int groups = static_cast<int>(std::clamp<int64_t>((wanted + panels - 1) / panels, 1, blocks));
  team.ParallelFor(int64_t{panels} * groups, [&](int64_t tile, int) {
    const int panel = static_cast<int>(tile / groups);
    const int group = static_cast<int>(tile % groups);
    const int row_end = std::min(rows, (panel + 1) * kPanelRows);
    const int block_end = static_cast<int>(int64_t{blocks} * (group + 1) / groups);
    for (int b = static_cast<int>(int64_t{blocks} * group / groups); b < block_end; ++b) {
      const float* weights = packed_.data() + int64_t{b} * inputs_ * block_;
      const int column = b * block_;
      const int columns = std::min(block_, outputs_ - column);
      const UkernelTable& kernel = b + 1 == blocks ? *last_ : *whole_;
      for (int row = panel * kPanelRows; row < row_end; row += kTileRows) {
        const int count = std::min(kTileRows, row_end - row);
        float* out = y + int64_t{row} * outputs_ + column;
        kernel.Run(UkernelTable::RoundRows(count), x + int64_t{row} * inputs_, weights, out);
        epilogue(row, column, count, columns, out);
      }
    }
  });
}

void Linear::Run(WorkTeam::Session& team, const float* x, int rows, Activation activation, float* y) const {
  RunTiles(team, x, rows, y, [&](int, int column, int count, int columns, float* out) {
    AddBiasAndActivate(activation, bias_.data() + column, count, columns, outputs_, out);
  });
}

void Linear::RunAddResidual(WorkTeam::Session& team, const float* x, int rows, const float* residual, float* y) const {
  RunTiles(team, x, rows, y, [&](int row, int column, int count, int columns, float* out) {
    AddBiasAndResidual(bias_.data() + column, residual + int64_t{row} * outputs_ + column, outputs_, count, columns,
                       outputs_, out);
  });
}

}  // namespace attnd
