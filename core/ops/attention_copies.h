// What attention copies: keys transposed for its score kernel, and outputs to where they belong.
#ifndef ATTND_CORE_OPS_ATTENTION_COPIES_H_
#define ATTND_CORE_OPS_ATTENTION_COPIES_H_

#include <cstdint>

namespace attnd {

// Columns of a packed block of keys.
inline constexpr int kKeyBlock = 64;

// Keys as blocks of up to kKeyBlock columns. Columns from the last key to a multiple of 16 are 0, others not written.
void PackKeys(const float* keys /* [count, stride] */, int count, int64_t stride, int head_dim,
              float* packed /* [blocks][head_dim, kKeyBlock] */);

// to = from * factors, a factor a row; null: as it is.
void ScaleRows(const float* from /* [rows, columns] */, const float* factors /* [rows] */, int rows, int columns,
               float* to /* [rows, stride] */, int64_t stride);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ATTENTION_COPIES_H_
