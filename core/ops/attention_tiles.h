// AttentionTiles: attention's products in AMX's tiles of bf16, for layers whose rows are rounded anyway.
// Queries and keys are two bf16 each, q = q1 + q2 and k = k1 + k2 to 16 bits, and a score is q1 k1 + q1 k2 + q2 k1: the
// exponential magnifies what a score is off by. Probabilities and values, whose products are averaged, are one.
#ifndef ATTND_CORE_OPS_ATTENTION_TILES_H_
#define ATTND_CORE_OPS_ATTENTION_TILES_H_

#include <cstdint>

#include "core/base/aligned.h"
#include "core/ops/attention.h"
#include "core/ops/tile_kernel.h"

namespace attnd {

// Whether this CPU attends so to heads of these dimensions.
bool HasAttentionTiles(int head_dim, int value_dim);

// What the tiles read of the keys and values of `head`, into scratch.keys and scratch.tiles.
void PackTiles(const AttentionHead& head, AttentionScratch& scratch);

// scores = Q K^T, of up to 64 rows of queries and the keys that were packed.
void ScoreTiles(TileRegisters& registers, const AttentionHead& head, const float* query /* [rows, query_stride] */,
                int rows, int stride, AttentionScratch& scratch, float* scores /* [64, stride] */);

// output = P V. Columns of P from the last key to a multiple of 32 are 0.
void WeighTiles(TileRegisters& registers, const AttentionHead& head, int rows, int stride,
                const float* probabilities /* [rows, stride] */, AttentionScratch& scratch,
                float* output /* [64, value_dim] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ATTENTION_TILES_H_
