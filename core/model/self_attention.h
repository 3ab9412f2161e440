// Self-attention of every sequence of a PackedBatch, over joined query, key and value rows.
#ifndef ATTND_CORE_MODEL_SELF_ATTENTION_H_
#define ATTND_CORE_MODEL_SELF_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "core/base/work_team.h"
#include "core/model/packed_batch.h"
#include "core/ops/attention.h"

namespace attnd {

// A bias of scores that depends on how far the key is from the query.
struct DistanceBias {
  int tokens = 0;             // longest sequence
  std::vector<float> values;  // [heads, 2 * tokens - 1], of the distances 1 - tokens to tokens - 1

  // The value of distance 0 of a head.
  const float* center(int head) const { return values.data() + head * (int64_t{2} * tokens - 1) + tokens - 1; }
};

struct SelfAttention {
  int layer;  // what sinks are told
  int heads;  // heads * head_dim numbers each of query, key and value
  int head_dim;
  const float* qkv;  // [tokens, 3 * heads * head_dim]: query, key, value side by side
  float* output;     // [tokens, heads * head_dim], heads side by side
  const DistanceBias* bias = nullptr;
  bool rounded = false;  // AttentionHead::rounded
  int window = -1;       // at least 0: farther keys are not seen
  // True: only rows up to the last output row of each sequence are written, from its first on.
  bool outputs_only = false;
};

// Runs every head of every sequence; the sinks see the tiles they want. `scratch` has one for each lane of the team.
void RunSelfAttention(const SelfAttention& attention, const PackedBatch& batch, WorkTeam::Session& team,
                      std::vector<AttentionScratch>& scratch);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_SELF_ATTENTION_H_
