// PackedBatch: the tokens of several sequences end to end, without padding.
#ifndef ATTND_CORE_ENGINE_PACKED_BATCH_H_
#define ATTND_CORE_ENGINE_PACKED_BATCH_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/attention/sink.h"

namespace attnd {

struct PackedBatch {
  std::vector<int32_t> ids;           // [tokens]
  std::vector<int32_t> type_ids;      // [tokens], segment of each token (0 or 1)
  std::vector<int32_t> begins = {0};  // [sequences + 1], row of each sequence's first token; the last entry is `tokens`
  std::vector<AttentionSink*> sinks;  // [sequences], null where nothing is asked; not owned, alive through the step

  int tokens() const { return static_cast<int>(ids.size()); }
  int sequences() const { return static_cast<int>(begins.size()) - 1; }
  int length(int sequence) const { return begins[sequence + 1] - begins[sequence]; }

  // Appends one sequence. `types` is empty (all 0) or as long as `tokens`.
  void Add(absl::Span<const int32_t> tokens, absl::Span<const int32_t> types = {}, AttentionSink* sink = nullptr) {
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    if (types.empty()) {
      type_ids.resize(ids.size(), 0);
    } else {
      type_ids.insert(type_ids.end(), types.begin(), types.end());
    }
    begins.push_back(static_cast<int32_t>(ids.size()));
    sinks.push_back(sink);
  }
  void Clear() {
    ids.clear();
    type_ids.clear();
    begins.assign(1, 0);
    sinks.clear();
  }
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_PACKED_BATCH_H_
