// Attention: softmax(Q K^T * scale) V, full rows of probabilities in cache, tiles of query rows.
// "Attention Is All You Need", Vaswani et al., 2017, section 3.2.1.
#ifndef ATTND_CORE_OPS_ATTENTION_H_
#define ATTND_CORE_OPS_ATTENTION_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "core/base/aligned.h"

namespace attnd {

// One head of one sequence. Strides are floats from one row to the next.
struct AttentionHead {
  const float* query;  // [queries, head_dim]
  const float* key;    // [keys, head_dim]
  const float* value;  // [keys, value_dim]
  float* output;       // [queries, value_dim]
  int query_stride, key_stride, value_stride, output_stride;
  int queries, keys, head_dim, value_dim;
  float scale;                    // usually 1 / sqrt(head_dim)
  bool causal = false;            // query i sees keys up to i + (keys - queries)
  const uint8_t* mask = nullptr;  // [queries, keys], 0 hides; null: all visible
  int64_t mask_stride = 0;        // bytes from one row to the next
  const float* bias = nullptr;    // [queries, keys], added to the scaled scores; null: none
  int64_t bias_stride = 0;        // floats from one row to the next; -1 where the bias is one of distances
  // At least 0: query i sees only keys within this distance of i + (keys - queries); the others are not computed.
  // -1: all.
  int window = -1;
  // Whether its products may be those of AttentionTiles, where the CPU has them.
  bool rounded = false;
};

// Probabilities of rows [query_begin, query_begin + query_count): P is [query_count, stride] with `keys` valid columns;
// entropy is [query_count], in nats (SoftmaxRows).
using ProbabilityFn = absl::FunctionRef<void(int query_begin, int query_count, const float* probabilities, int stride,
                                             const float* entropy)>;

// Of AttentionTiles, in bf16.
struct AttentionTileScratch {
  AlignedBuffer<uint16_t> split;          // [keys or 64, 3, head_dim], keys or queries in halves
  AlignedBuffer<uint32_t> values;         // [keys / 2, value_dim], of two neighbours each
  AlignedBuffer<uint16_t> probabilities;  // [64, keys]
};

// Scratch of one thread; grows to the largest head seen.
struct AttentionScratch {
  AlignedBuffer<float> keys;      // [key blocks][head_dim, 64], K transposed
  AlignedBuffer<float> scores;    // [64, stride]
  AlignedBuffer<float> query;     // [64, head_dim], the last rows, padded
  AlignedBuffer<float> value;     // [16, value_dim], the last rows, padded
  AlignedBuffer<float> output;    // [64, value_dim]
  AlignedBuffer<float> entropy;   // [64]
  AlignedBuffer<float> inverses;  // [64], of the sums that rows nobody looks at are not divided by
  AlignedBuffer<float> wide;      // [64, stride], rows of a windowed head as `probabilities` sees them
  AttentionTileScratch tiles;
};

// Computes rows [query_begin, query_end) of `head`. `probabilities`, when not null, sees each block of rows while it is
// in cache. A row that sees no key gives zeros. Safe on several threads with different scratch and rows.
void AttendRows(const AttentionHead& head, int query_begin, int query_end, AttentionScratch& scratch,
                const ProbabilityFn* probabilities);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ATTENTION_H_
