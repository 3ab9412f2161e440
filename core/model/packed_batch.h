// PackedBatch: the tokens of several sequences end to end, without padding.
#ifndef ATTND_CORE_MODEL_PACKED_BATCH_H_
#define ATTND_CORE_MODEL_PACKED_BATCH_H_

#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "core/attention/sink.h"

namespace attnd {

struct PackedBatch {
  std::vector<int32_t> ids;           // [tokens]
  std::vector<int32_t> type_ids;      // [tokens], segment of each token (0 or 1)
  std::vector<int32_t> begins = {0};  // [sequences + 1], row of each sequence's first token; the last entry is `tokens`
  std::vector<AttentionSink*> sinks;  // [sequences], null where nothing is asked; not owned, alive through the step
  // Rows of tokens whose last hidden states are asked for, ascending; the last layer may leave the others out.
  std::vector<int32_t> outputs;
  std::vector<int32_t> output_begins = {0};  // [sequences + 1], where each sequence's rows begin in `outputs`

  int tokens() const { return static_cast<int>(ids.size()); }
  int sequences() const { return static_cast<int>(begins.size()) - 1; }
  int length(int sequence) const { return begins[sequence + 1] - begins[sequence]; }
  bool all_outputs() const { return outputs.size() == ids.size(); }

  // Appends one sequence. `types` is empty (all 0) or as long as `tokens`; `rows` are the tokens whose last hidden
  // states are asked for, ascending: empty means all.
  void Add(absl::Span<const int32_t> tokens, absl::Span<const int32_t> types = {}, AttentionSink* sink = nullptr,
           absl::Span<const int32_t> rows = {}) {
    const int32_t begin = begins.back();
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    if (types.empty()) {
      type_ids.resize(ids.size(), 0);
    } else {
      type_ids.insert(type_ids.end(), types.begin(), types.end());
    }
    begins.push_back(static_cast<int32_t>(ids.size()));
    sinks.push_back(sink);
    if (rows.empty()) {
      for (int32_t row = begin; row < begins.back(); ++row) outputs.push_back(row);
    } else {
      for (int32_t row : rows) outputs.push_back(begin + row);
    }
    output_begins.push_back(static_cast<int32_t>(outputs.size()));
  }
  void Clear() {
    ids.clear();
    type_ids.clear();
    begins.assign(1, 0);
    sinks.clear();
    outputs.clear();
    output_begins.assign(1, 0);
  }
};

// Moves the batch.outputs rows of `rows` to its front, in place.
inline void KeepOutputRows(const PackedBatch& batch, int width, float* rows /* [tokens, width] */) {
  for (size_t i = 0; i < batch.outputs.size(); ++i) {
    if (batch.outputs[i] == static_cast<int32_t>(i)) continue;
    std::memcpy(rows + i * width, rows + int64_t{batch.outputs[i]} * width, width * sizeof(float));
  }
}

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_PACKED_BATCH_H_
