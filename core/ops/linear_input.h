// Linear::Input: rows as a linear layer multiplies them, for Linear's own files.
#ifndef ATTND_CORE_OPS_LINEAR_INPUT_H_
#define ATTND_CORE_OPS_LINEAR_INPUT_H_

#include <cstdint>

#include "core/ops/integer_tile.h"
#include "core/ops/linear.h"
#include "core/ops/tile_kernel.h"

namespace attnd {

// Columns of a single row's strip: its blocks are read side by side.
inline constexpr int kRowStripColumns = 384;

struct Linear::Input {
  const void* Row(int row) const { return static_cast<const char*>(data) + row * row_bytes; }
  const void* data;  // [rows, padded inputs]
  int64_t row_bytes;
  int rows;
  const float* scales = nullptr;   // [groups, rows] of u8, f16 and slices
  const float* offsets = nullptr;  // [groups, rows] of u8
};

// What a lane multiplies with.
struct Linear::MultiplyScratch {
  static constexpr int kBlockColumnsMax = 64;  // of PackedWeights
  static_assert(kRowStripColumns <= UkernelTable::kMaxRows * kBlockColumnsMax);
  TileRegisters tiles;
  alignas(64) int32_t sums[IntegerTile::kMaxGroups * UkernelTable::kMaxRows * kBlockColumnsMax];  // of MultiplyGroups
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_LINEAR_INPUT_H_
