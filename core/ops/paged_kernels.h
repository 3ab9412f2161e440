// The vector kernels of PagedAttention.
#ifndef ATTND_CORE_OPS_PAGED_KERNELS_H_
#define ATTND_CORE_OPS_PAGED_KERNELS_H_

#include <cstdint>

#include "core/ops/kv_pages.h"

namespace attnd {

// scores[h, 16 * p + t] = query[h] . key of token t of table[p], for `heads` heads of one row and pages [0, count).
void ScoreRow(const KvPages& pages, int layer, int key_head, const int32_t* table, int count,
              const float* query /* [heads, head_dim] */, int heads, int64_t stride,
              float* scores /* [heads, stride] */);

// output[h] = sum of probabilities[h, 16 * p + t] times the value of token t of table[p].
void WeighRow(const KvPages& pages, int layer, int key_head, const int32_t* table, int count,
              const float* probabilities /* [heads, stride] */, int64_t stride, int heads,
              float* output /* [heads, head_dim] */);

// One step of an online softmax over a block of columns ("FlashAttention", Dao et al., 2022; "Online normalizer
// calculation for softmax", Milakov and Gimelshein, 2018): scores become exp(scale * score - maximum) under each row's
// new maximum, and what was summed before is rescaled. Columns of -infinity add nothing.
void OnlineSoftmaxStep(float scale, int rows, int columns, int64_t stride, float* scores /* [rows, stride] */,
                       float* maxima /* [rows] */, float* sums /* [rows] */, int width,
                       float* output /* [rows, width] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_PAGED_KERNELS_H_
