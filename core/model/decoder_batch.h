// DecoderBatch: one ragged step of a decoder: prompt chunks and single new tokens of several sequences end to end.
#ifndef ATTND_CORE_MODEL_DECODER_BATCH_H_
#define ATTND_CORE_MODEL_DECODER_BATCH_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/attention/sink.h"

namespace attnd {

// What a step computes for one sequence. Everything pointed to is the caller's and must live through the step.
struct DecoderChunk {
  absl::Span<const int32_t> ids;    // [rows], at least 1, inside the vocabulary
  int past = 0;                     // tokens before them, whose keys and values are stored
  absl::Span<const int32_t> table;  // pages, at least (past + rows + 15) / 16; those of the new rows are its own
  int logits_from = 0;              // logits are computed for rows [logits_from, rows); rows: for none
  bool hidden = false;              // the hidden state of every row is wanted
  // Sees the chunk's rows [sink_from, rows), and may see earlier ones of it, as rows `past` + r of the sequence, with
  // key_count past + rows; columns after a row's own token are 0.
  AttentionSink* sink = nullptr;
  int sink_from = 0;
};

struct DecoderBatch {
  std::vector<DecoderChunk> chunks;
  std::vector<int32_t> begins = {0};  // [chunks + 1], row of each chunk's first token
  std::vector<int32_t> ids;           // [rows]
  std::vector<int32_t> positions;     // [rows]
  int logit_rows = 0;                 // in the order of chunks

  int rows() const { return static_cast<int>(ids.size()); }

  void Add(const DecoderChunk& chunk) {
    const int count = static_cast<int>(chunk.ids.size());
    chunks.push_back(chunk);
    ids.insert(ids.end(), chunk.ids.begin(), chunk.ids.end());
    for (int r = 0; r < count; ++r) positions.push_back(chunk.past + r);
    begins.push_back(rows());
    logit_rows += count - chunk.logits_from;
  }
  void Clear() {
    chunks.clear();
    begins.assign(1, 0);
    ids.clear();
    positions.clear();
    logit_rows = 0;
  }
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_DECODER_BATCH_H_
