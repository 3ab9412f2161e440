// AttentionCall: softmax(Q K^T * scale) V for tensors that a caller brings, without a model.
#ifndef ATTND_CORE_ENGINE_ATTENTION_CALL_H_
#define ATTND_CORE_ENGINE_ATTENTION_CALL_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "core/base/work_team.h"

namespace attnd {

// Everything pointed to is the caller's, contiguous, row-major, and must live until the computation returns.
struct AttentionCall {
  int64_t batch = 0, heads = 0,
          key_heads = 0;  // heads is a multiple of key_heads: head i uses key head i * key_heads / heads
  int64_t queries = 0, keys = 0, head_dim = 0;
  const float* query = nullptr;   // [batch, heads, queries, head_dim]
  const float* key = nullptr;     // [batch, key_heads, keys, head_dim]
  const float* value = nullptr;   // [batch, key_heads, keys, head_dim]
  const uint8_t* mask = nullptr;  // [queries, keys] of batch and head 0, 0 hides; null: all visible
  int64_t mask_batch_stride = 0;  // bytes to the next batch's mask; 0: all share it
  int64_t mask_head_stride = 0;   // bytes to the next head's mask; 0: all share it
  bool causal = false;            // query i sees keys up to i + keys - queries
  float scale = 1;                // of the scores, usually 1 / sqrt(head_dim)
  float* output = nullptr;        // [batch, heads, queries, head_dim]; zeros where a query sees no key
  float* weights = nullptr;       // [batch, heads, queries, keys], or null
  float* entropy = nullptr;       // [batch, heads, queries], nats, or null
};

// The sizes that bound the scratch of a thread (64 rows of scores, 64 rows of queries): beyond is for the caller to
// refuse.
inline constexpr int64_t kMaxAttentionCallKeys = 65536;
inline constexpr int64_t kMaxAttentionCallHeadDim = 8192;

// kInvalidArgument naming the size and the limit; all sizes must be at least 1. Does not look at the pointers.
absl::Status CheckAttentionCall(const AttentionCall& call);

// Computes `call`, which CheckAttentionCall accepted, in tiles of (batch, head, query rows) on the session's lanes.
// `keep_going` is asked before each tile, by any lane: when it answers false the rest is left out and the result is
// kCancelled, the outputs unspecified.
absl::Status RunAttentionCall(const AttentionCall& call, WorkTeam::Session& team, absl::FunctionRef<bool()> keep_going);

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_ATTENTION_CALL_H_
