// SliceKernel, where HasTileKernel says so: rows of f32 by a block of packed weights, both as slices (slices.h), in
// AMX's tiles of bytes: eight products of bytes for one of f32, in less time than AVX-512 takes for it.
// docs/performance.md has the figures.
#ifndef ATTND_CORE_OPS_SLICE_KERNEL_H_
#define ATTND_CORE_OPS_SLICE_KERNEL_H_

#include <cstdint>

#include "core/ops/block_kernel.h"
#include "core/ops/integer_tile.h"
#include "core/ops/slices.h"
#include "core/ops/tile_registers.h"

namespace attnd {

// Bytes of the weights of one column of tiles, [steps][slice][kTileBytes / 4, kTileColumns, 4], by a step of k.
inline constexpr int64_t kSliceStepBytes = int64_t{kSlices} * kRegisterRows * kTileBytes;

// c = the products of `rows`, in tiles as slices.h has them, rows.stride bytes a row, by `columns` tiles of a block of
// weights: [groups][tiles of the block][weights.k inputs], weights.k a multiple of kTileBytes and all tiles there. Of
// up to 8 rows as many rows of kTileBytes behind them are read, too. Sums of a group are exact in s32, but for the
// products of the two last slices, which are left out: 2^-32 of the largest. They are rounded when they are made f32.
void MultiplySlices(TileRegisters& registers, const BlockRows& rows, const BlockWeights& weights, int columns,
                    const GroupScales& scales, float* c /* [rows, stride] */, int64_t stride);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_SLICE_KERNEL_H_
