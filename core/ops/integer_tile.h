// IntegerTile: the products of a tile of Linear in int8, and what they stand for.
#ifndef ATTND_CORE_OPS_INTEGER_TILE_H_
#define ATTND_CORE_OPS_INTEGER_TILE_H_

#include <cstdint>

namespace attnd {

// What the product of quantised rows (QuantizeRow) and weights w ~ weight_scale * s8, as integer sums over groups of
// inputs, stands for in f32:
//   value[r, c] = sum over g of row_scales[g, r] weight_scales[g, c] sums[g, r, c] + row_offsets[g, r] weight_sums[g,
//   c],
// where weight_sums[g, c] is weight_scales[g, c] times the sum of column c over the inputs of g. Of f16 (ScaleRowToF16)
// and of slices (SliceRow) the same without offsets.
struct GroupScales {
  int groups;                  // of inputs
  const float* row_scales;     // [groups, row_stride]
  const float* row_offsets;    // [groups, row_stride]; of kU8S8 alone
  const float* weight_scales;  // [groups, column_stride]
  const float* weight_sums;    // [groups, column_stride]; of kU8S8 alone
  int64_t row_stride;
  int64_t column_stride;
};

// The sums of a tile, and what makes f32 of them.
struct IntegerTile {
  static constexpr int kMaxGroups = 4;
  const int32_t* sums;  // [groups][rows, sums_stride]
  int sums_stride;
  int64_t group_stride;     // of `sums`, from one group to the next
  GroupScales scales;       // of 1 to kMaxGroups groups
  bool accumulate = false;  // the tile holds the value of other groups, to add to
};

// y = the values of `from`.
void ScaleSums(const IntegerTile& from, int rows, int columns, int64_t stride, float* y /* [rows, stride] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_INTEGER_TILE_H_
