// BlockKernel: several rows of activations by one block of packed weights, of which the next ones are fetched
// meanwhile. A model's weights pass by once a panel of rows, out of L3 or memory. oneDNN's ukernels wait for the first
// reading of a block; here the next block is on its way into L2 while this one is multiplied: docs/performance.md.
#ifndef ATTND_CORE_OPS_BLOCK_KERNEL_H_
#define ATTND_CORE_OPS_BLOCK_KERNEL_H_

#include <cstddef>
#include <cstdint>

#include "core/ops/integer_tile.h"
#include "core/ops/ukernel.h"

namespace attnd {

struct BlockRows {
  const std::byte* first;  // [count, k] of the type's activations
  int64_t stride;          // bytes from one row to the next
  int count;               // 1 or more
};

// A block as UkernelShape::data lays out B: [k / interleave, BlockKernelColumns(), interleave]; of kF32S8, for every
// kScaledInputs of k the f32 scales of the columns and then [kScaledInputs, BlockKernelColumns()]; of kF16S8 their f16
// scales, each twice, and then [kScaledInputs / 2, BlockKernelColumns(), 2].
struct BlockWeights {
  const std::byte* first;
  int k;
  // Whether what lies behind the block is multiplied soon and is to be fetched: once a panel of rows is enough.
  bool fetch;
  // kU8S8: products of any u8 by the weights of a column come to no more than 16 bits hold where the neighbours 0, 1, 4
  // and 5 or 2, 3, 6 and 7 of eight are added. k is a multiple of kQuadKernelSteps.
  bool quads = false;
};

// Columns of a block on this CPU: what PackedWeights has, but without AVX2.
int BlockKernelColumns();
// k is a multiple of this many of the interleave.
inline constexpr int kBlockKernelSteps = 4;

inline constexpr int kQuadKernelSteps = 32;

// Whether kU8S8 is to be multiplied by `quads`: AVX2 without VNNI (docs/performance.md).
bool HasQuadKernel();

// Whether this CPU multiplies kF16 and kF16S8: AVX512-FP16, and a compiler that has it.
bool HasF16Kernel();

// Whether such blocks are to be multiplied here: of f16 where there is that, of the others on Intel's CPUs, where it
// is faster than by oneDNN (docs/performance.md).
bool HasBlockKernel(UkernelData data, int columns, int k);

// Whether weights are made f32, once for all rows of a call, before they are multiplied.
constexpr bool WidensWeights(UkernelData data) { return data == UkernelData::kF32Bf16 || data == UkernelData::kF32S8; }

// c = a B of f32 by f32, bf16 or s8 with scales, summed in the order of k.
void MultiplyFloatBlock(UkernelData data, const BlockRows& rows, const BlockWeights& weights,
                        float* c /* [rows, stride] */, int64_t stride);

// c = what the products of kU8S8, kF16 or kF16S8 in `scales.groups` groups of weights.k inputs each stand for: of kU8S8
// as ScaleSums has them, to the same bits. Of f16 a group's products of even k and those of odd k are summed in f16,
// and weights.k is at most kF16GroupInputs.
void MultiplyScaledBlock(UkernelData data, const BlockRows& rows, const BlockWeights& weights,
                         const GroupScales& scales, float* c /* [rows, stride] */, int64_t stride);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_BLOCK_KERNEL_H_
