// Linear: the products of a tile, by the kernel that is fastest for its rows and type.
#include <algorithm>

#include "core/ops/block_kernel.h"
#include "core/ops/integer_tile.h"
#include "core/ops/linear.h"
#include "core/ops/linear_input.h"
#include "core/ops/row_kernel.h"
#include "core/ops/slice_kernel.h"

namespace attnd {

// Blocks [block, block + count) of columns, side by side. `first`: of the tiles that read them.
void Linear::Multiply(const Input& input, int row, int rows, int block, int count, bool first, MultiplyScratch& scratch,
                      float* product, int64_t stride) const {
  const bool f16 = weights_.f16();
  // To kernels of our own narrow blocks are whole: products have room for one.
  const bool own = tile_kernel_ || !HasUkernel(weights_.data());
  const int at_once = rows == 1 && !weights_.sliced() ? count : 1;
  for (const int end = block + count; block < end; block += at_once, product += at_once * weights_.block()) {
    const bool whole = (block + 1) * weights_.block() <= outputs_;
    if ((rows > 1 || weights_.sliced()) && (whole || own) && (tile_kernel_ || block_kernel_)) {
      MultiplyWhole(input, row, rows, block, first, scratch, product, stride);
    } else if (f16) {
      MultiplyF16Row(input, row, block, at_once, product);
    } else if (weights_.scaled()) {
      MultiplyGroups(input, row, rows, block, at_once, scratch.sums, product, stride);
    } else if (rows == 1) {
      MultiplyOneRow(input.Row(row), block, count, 0, 1, product);
    } else {
      MultiplyBlock(input.Row(row), rows, block, 0, product);
    }
  }
}

// A block by a kernel of our own.
void Linear::MultiplyWhole(const Input& input, int row, int rows, int block, bool first, MultiplyScratch& scratch,
                           float* product, int64_t stride) const {
  const BlockRows from = {static_cast<const std::byte*>(input.Row(row)), weights_.row_bytes(), rows};
  const BlockWeights weights = {weights_.Block(block), weights_.group(), first, weights_.quads()};
  if (!weights_.scaled()) {
    if (tile_kernel_) return MultiplyBf16Tiles(scratch.tiles, from, weights, product, stride);
    return MultiplyFloatBlock(weights_.data(), from, weights, product, stride);
  }
  const GroupScales scales = ScalesOf(input, row, block, 0, weights_.groups());
  if (weights_.sliced()) {
    const int columns = std::min(weights_.block(), outputs_ - block * weights_.block());
    const int tiles = (columns + kTileColumns - 1) / kTileColumns;
    return MultiplySlices(scratch.tiles, from, weights, tiles, scales, product, stride);
  }
  if (tile_kernel_) return MultiplyByteTiles(scratch.tiles, from, weights, scales, product, stride);
  MultiplyScaledBlock(weights_.data(), from, weights, scales, product, stride);
}

// Of rows from `row` on by the columns from `block` on.
GroupScales Linear::ScalesOf(const Input& input, int row, int block, int first_group, int groups) const {
  const int64_t at = int64_t{first_group} * input.rows + row;
  const int column = block * weights_.block();
  const bool offsets = weights_.data() == UkernelData::kU8S8;
  return {.groups = groups,
          .row_scales = input.scales + at,
          .row_offsets = offsets ? input.offsets + at : nullptr,
          .weight_scales = weights_.scales(first_group) + column,
          .weight_sums = offsets ? weights_.sums(first_group) + column : nullptr,
          .row_stride = input.rows,
          .column_stride = outputs_};
}

void Linear::MultiplyBlock(const void* x, int rows, int block, int group, void* out) const {
  const UkernelTable& kernel = block + 1 == weights_.blocks() ? *last_ : *whole_;
  kernel.Run(UkernelTable::RoundRows(rows), x, weights_.Block(block, group), out);
}

// `count` blocks by `groups` groups of inputs.
void Linear::MultiplyOneRow(const void* x, int block, int count, int group, int groups, void* out) const {
  const RowBlocks blocks = {.first = weights_.Block(block, group),
                            .stride = weights_.block_bytes(),
                            .count = count,
                            .columns = weights_.block(),
                            .groups = groups,
                            .pairs = weights_.pairs()};
  MultiplyRow(weights_.data(), x, weights_.group(), blocks, out);
}

// `count` blocks in f16.
void Linear::MultiplyF16Row(const Input& input, int row, int block, int count, float* product) const {
  constexpr int kGroups = 4;                               // at once
  alignas(64) float products[kGroups * kRowStripColumns];  // [groups, columns]
  for (int first = 0; first < weights_.groups(); first += kGroups) {
    const int groups = std::min(kGroups, weights_.groups() - first);
    const auto* x = static_cast<const uint16_t*>(input.Row(row)) + first * weights_.group();
    MultiplyOneRow(x, block, count, first, groups, products);
    ScaleF16Row(products, ScalesOf(input, row, block, first, groups), count * weights_.block(), first > 0, product);
  }
}

// From the integer products of groups of inputs; `count` blocks where it is one row.
void Linear::MultiplyGroups(const Input& input, int row, int rows, int block, int count, int32_t* sums, float* product,
                            int64_t stride) const {
  const int column = block * weights_.block(), columns = count * weights_.block();
  for (int first = 0; first < weights_.groups(); first += IntegerTile::kMaxGroups) {
    const int groups = std::min(IntegerTile::kMaxGroups, weights_.groups() - first);
    const IntegerTile tile = {.sums = sums,
                              .sums_stride = columns,
                              .group_stride = int64_t{UkernelTable::RoundRows(rows)} * columns,
                              .scales = ScalesOf(input, row, block, first, groups),
                              .accumulate = first > 0};
    const auto* x = static_cast<const uint8_t*>(input.Row(row)) + first * weights_.group();
    if (rows == 1) {
      MultiplyOneRow(x, block, count, first, groups, sums);
    } else {
      for (int g = 0; g < groups; ++g) {
        MultiplyBlock(x + g * weights_.group(), rows, block, first + g, sums + g * tile.group_stride);
      }
    }
    ScaleSums(tile, rows, std::min(columns, outputs_ - column), stride, product);
  }
}

}  // namespace attnd
