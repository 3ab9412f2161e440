// RowKernel: one row of activations by several blocks of packed weights side by side.
// A step that decodes one stream multiplies one row by every weight, and is as fast as weights are read. A core reads
// several streams of memory faster than one: docs/performance.md.
#ifndef ATTND_CORE_OPS_ROW_KERNEL_H_
#define ATTND_CORE_OPS_ROW_KERNEL_H_

#include <cstddef>
#include <cstdint>

#include "core/ops/integer_tile.h"
#include "core/ops/ukernel.h"

namespace attnd {

// Blocks of weights as UkernelShape::data lays out B (kF32S8, of one group, and kF16S8: as BlockWeights says): [groups,
// k / interleave, columns, interleave], `columns` one to four vectors of f32: 16 of PackedWeights on AVX2, 48 on
// AVX-512.
struct RowBlocks {
  const std::byte* first;
  int64_t stride;  // bytes from one block to the next
  int count;
  int columns;
  int groups = 1;  // parts of a block, one after another, that multiply parts of the row: each has sums of its own
  // kU8S8: no two neighbours' products exceed 16 bits together, as PackedWeights sees to without VNNI.
  bool pairs = false;
};

// c = a B of every block. Exact for kU8S8, else summed in the order of k, of kF32S8 by kScaledInputs and of f16 even
// and odd k apart. k is a multiple of the interleave, and for f16 at most kF16GroupInputs.
void MultiplyRow(UkernelData data, const void* a /* [groups, k] */, int k, const RowBlocks& blocks,
                 void* c /* [groups, count, columns] */);

// y = what the products of one f16 row stand for (GroupScales), or y += where there are more groups than these.
void ScaleF16Row(const float* products /* [groups, columns] */, const GroupScales& scales, int columns, bool accumulate,
                 float* y /* [columns] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ROW_KERNEL_H_
