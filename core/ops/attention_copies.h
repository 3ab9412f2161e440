// What attention copies: keys transposed for its score kernel, and what its tiles read.
#ifndef ATTND_CORE_OPS_ATTENTION_COPIES_H_
#define ATTND_CORE_OPS_ATTENTION_COPIES_H_

#include <cstdint>

namespace attnd {

// Columns of a packed block of keys.
inline constexpr int kKeyBlock = 64;

// Keys as blocks of up to kKeyBlock columns. Columns from the last key to a multiple of 16 are 0, others not written.
void PackKeys(const float* keys /* [count, stride] */, int count, int64_t stride, int head_dim,
              float* packed /* [blocks][head_dim, kKeyBlock] */);

// For AttentionTiles, in bf16, columns a multiple of 16 (RoundRows: 32) that `from` has:
// Three halves of each row side by side, bf16(x) or, where `halves` has a 1, bf16(x - bf16(x)).
void SplitRows(const float* from /* [rows, stride] */, int64_t stride, int rows, int columns, const int (&halves)[3],
               uint16_t* to /* [rows, 3, columns] */);

// Rows as they are.
void RoundRows(const float* from /* [rows, stride] */, int64_t stride, int rows, int columns,
               uint16_t* to /* [rows, columns] */);

// Two neighbours side by side; rows from `rows` to `padded`, which is even, are 0.
void PairRows(const float* from /* [rows, stride] */, int64_t stride, int rows, int padded, int columns,
              uint32_t* to /* [padded / 2, columns] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ATTENTION_COPIES_H_
