// The server's bound on the attention maps and scores of all calls together, as calls meet it.
#ifndef ATTND_SERVER_RPC_ATTENTION_MEMORY_H_
#define ATTND_SERVER_RPC_ATTENTION_MEMORY_H_

#include <cstdint>

#include "absl/status/status.h"
#include "server/ops/memory_budget.h"

namespace attnd {

// Adds `bytes` to what `lease` holds of `budget`. kResourceExhausted names the figures, with "try again" where it may
// help: calls in flight have the memory.
absl::Status HoldAttentionMemory(MemoryBudget& budget, int64_t bytes, MemoryBudget::Lease& lease);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_ATTENTION_MEMORY_H_
