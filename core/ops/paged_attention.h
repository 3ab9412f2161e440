// PagedAttention: causal attention of some rows of a sequence over its keys and values in KvPages.
#ifndef ATTND_CORE_OPS_PAGED_ATTENTION_H_
#define ATTND_CORE_OPS_PAGED_ATTENTION_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "core/base/aligned.h"
#include "core/ops/kv_pages.h"

namespace attnd {

// The query heads that share one key head, for consecutive rows of one sequence whose keys are all stored already.
struct PagedHeads {
  const float* query;  // [rows, query_stride], `heads` heads of head_dim side by side
  float* output;       // [rows, output_stride], the same
  int64_t query_stride, output_stride;
  int heads, rows;
  const KvPages* pages;
  int layer, key_head;
  const int32_t* table;  // pages of the sequence, in order
  int first;             // position of row 0: row r sees keys up to first + r
  int window;            // of those the last `window`; 0: all
  float scale;           // usually 1 / sqrt(head_dim); above 0
};

// Probabilities of rows [row_begin, row_begin + rows) of head `head` (of PagedHeads::heads): [rows, stride] with `keys`
// valid columns from position 0 on, zeros where nothing is visible.
using PagedProbabilityFn =
    absl::FunctionRef<void(int head, int row_begin, int rows, const float* probabilities, int stride, int keys)>;

// Scratch of one thread; grows to the largest call seen: at most 64 rows of keys, 1 MB above 4,096 keys, but where
// whole rows are seen 16 of them (8 MB of 128k keys).
struct PagedScratch {
  AlignedBuffer<float> scores;  // [rows, stride]
  AlignedBuffer<float> block;   // pages' keys and values as f32, where they are stored narrower
  AlignedBuffer<float> output;  // [heads, rows, head_dim]
  AlignedBuffer<float> maxima;  // [heads, rows], of the online softmax
  AlignedBuffer<float> sums;    // [heads, rows], of the online softmax; [rows], inverse, of whole rows
};

// Computes rows [row_begin, row_end). `probabilities`, when not null, sees the rows of every head, and `keys` is then
// how many columns it gets (at least the last row's position + 1). Rows of queries beyond row_end may be read, at
// most 7. Up to 1,024 keys the output is bit by bit the same with `probabilities` and without; longer rows that nobody
// sees go through an online softmax. Safe on several threads with different scratch and rows.
void AttendPaged(const PagedHeads& heads, int row_begin, int row_end, PagedScratch& scratch,
                 const PagedProbabilityFn* probabilities, int keys);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_PAGED_ATTENTION_H_
