// ServerContext: what the calls get of the server.
#ifndef ATTND_SERVER_OPS_SERVER_CONTEXT_H_
#define ATTND_SERVER_OPS_SERVER_CONTEXT_H_

#include "absl/strings/string_view.h"
#include "server/batching/batcher.h"
#include "server/ops/drain.h"
#include "server/ops/limits.h"
#include "server/ops/log.h"
#include "server/ops/long_calls.h"
#include "server/ops/memory_budget.h"
#include "server/ops/metrics.h"
#include "server/ops/model_registry.h"
#include "server/ops/model_repository.h"

namespace attnd {

inline constexpr absl::string_view kServerVersion = "0.1.0";

// All members outlive every call and are thread-safe.
struct ServerContext {
  const Limits& limits;
  const QueueOptions& queue;  // of each model
  const ModelRegistry& models;
  ModelRepository& repository;
  Batcher& batcher;
  LongCalls& long_calls;
  MemoryBudget& attention_memory;  // Limits::max_attention_memory_bytes
  Metrics& metrics;
  Log& log;
  LogLimiter& refusals;  // of the log lines about refused calls
  Drain& drain;
  bool access_log;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_SERVER_CONTEXT_H_
