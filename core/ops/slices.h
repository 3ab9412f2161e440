// Slices: f32 as three signed bytes by a scale, 24 bits, whose products AMX's integer tiles add up without rounding.
// The Ozaki scheme: "DGEMM on Integer Matrix Multiplication Unit", Ootomo, Ozaki and Yokota, 2024.
#ifndef ATTND_CORE_OPS_SLICES_H_
#define ATTND_CORE_OPS_SLICES_H_

#include <algorithm>
#include <cstdint>

#include "core/ops/tile_registers.h"

namespace attnd {

// Bytes of a value: x ~ scale * (s0 + s1 / 2^8 + s2 / 2^16). The last's place is 2^-23 of the largest value that has
// the scale.
inline constexpr int kSlices = 3;
// Inputs that share a scale, at most: what is large in one group makes the others no coarser.
inline constexpr int kSliceGroupInputs = 384;

// Rows lie in tiles: [tile][group][step of kTileBytes inputs][slice][height, kTileBytes], so that each tile of one
// slice is one run of memory. So many rows at a time have tiles of one TileHeight.
inline constexpr int kSlicedRows = 64;
// Where row r of such tiles begins, in bytes.
inline int64_t OffsetOfSlices(int r, int height, int64_t row_bytes) {
  return r / height * height * row_bytes + r % height * kTileBytes;
}

// Where row r of `rows` begins in them, in bytes, at input `first` of its group's first step.
struct SlicePlace {
  int64_t offset;
  int height;
};
inline SlicePlace PlaceOfSlices(int rows, int r, int64_t row_bytes, int first) {
  const int base = r / kSlicedRows * kSlicedRows, height = TileHeight(std::min(kSlicedRows, rows - base));
  return {base * row_bytes + OffsetOfSlices(r - base, height, row_bytes) + int64_t{first} * kSlices * height, height};
}

// A row of one group: steps of [kSlices][height, kTileBytes], of which the row's are written. Columns from `columns` to
// `stride`, a multiple of kTileBytes, become 0. A scale of NaN where a value is not finite.
void SliceRow(const float* x /* [columns] */, int columns, int stride, int height, int8_t* to, float* scale);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_SLICES_H_
