#include "server/rpc/attention_memory.h"

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"

namespace attnd {

absl::Status HoldAttentionMemory(MemoryBudget& budget, int64_t bytes, MemoryBudget::Lease& lease) {
  if (budget.Take(bytes, lease)) return absl::OkStatus();
  const absl::Status status = absl::ResourceExhaustedError(
      absl::StrCat("the call needs ", bytes, " bytes for attention, scores or tokens; calls in flight hold ",
                   budget.used_bytes(), " of the server's ", budget.limit_bytes(), " (max_attention_memory_bytes)"));
  // More than there ever is will not come by waiting.
  return WithReason(status, "attention_memory",
                    bytes > budget.limit_bytes() ? absl::ZeroDuration() : absl::Milliseconds(500));
}

}  // namespace attnd
