// TileKernel: rows of activations by a block of packed weights in AMX's tile registers, which Intel's CPUs have since
// Sapphire Rapids: a tile holds 16 rows of 64 bytes, and one instruction multiplies two of them.
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
#ifndef ATTND_CORE_OPS_TILE_KERNEL_H_
#define ATTND_CORE_OPS_TILE_KERNEL_H_

#include <cstdint>

#include "core/ops/block_kernel.h"
#include "core/ops/integer_tile.h"
#include "core/ops/tile_registers.h"
#include "core/ops/ukernel.h"

namespace attnd {

// Rows of activations and of c beyond the last that must have room, for tiles are of equal height.
inline constexpr int kTilePaddingRows = 3;

// Whether this CPU multiplies such blocks so: kBf16, kU8S8 and, by SliceKernel, kF32Slices.
bool HasTileKernel(UkernelData data);

// Columns of a tile, and k of bf16 that one step multiplies.
inline constexpr int kTileColumns = 16, kTileHalves = kTileBytes / 2;
// A block is three tiles wide: PackedWeights' 48 columns.
inline constexpr int kBlockTiles = 3;

// B of bf16 as tiles read it: [k / 2, columns, 2], k = steps * kTileHalves.
struct TileMatrix {
  const std::byte* first;
  int64_t stride;  // bytes from one pair of k to the next
  int columns;     // in tiles
  int steps;
};

// c = a B of bf16. In the order of k, those of a tile's even and odd k apart; denormals are 0. c has room for whole
// tiles of columns.
void MultiplyTiles(TileRegisters& registers, const BlockRows& rows, const TileMatrix& b, float* c /* [rows, stride] */,
                   int64_t stride);

// The same by a block of weights, whose k is a multiple of kTileHalves.
void MultiplyBf16Tiles(TileRegisters& registers, const BlockRows& rows, const BlockWeights& weights,
                       float* c /* [rows, stride] */, int64_t stride);

// c = what the products of kU8S8 in `scales.groups` groups of weights.k inputs each, a multiple of kTileBytes, stand
// for: to the bits of MultiplyScaledBlock.
void MultiplyByteTiles(TileRegisters& registers, const BlockRows& rows, const BlockWeights& weights,
                       const GroupScales& scales, float* c /* [rows, stride] */, int64_t stride);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_TILE_KERNEL_H_
