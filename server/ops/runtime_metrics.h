// Metrics that are read when somebody scrapes: the process, the queues, the connections.
#ifndef ATTND_SERVER_OPS_RUNTIME_METRICS_H_
#define ATTND_SERVER_OPS_RUNTIME_METRICS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/batching/batcher.h"
#include "server/ops/memory_budget.h"
#include "server/ops/model_registry.h"

namespace attnd {

// process_*: CPU seconds, memory, descriptors, threads, start time, of /proc/self.
class ProcessMetrics : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

// attnd_queue_tokens, attnd_queue_requests, attnd_queue_oldest_seconds by model; attnd_generations_running and
// _waiting, attnd_kv_pages and attnd_kv_pages_used of decoders; attnd_attention_memory_bytes and its limit,
// attnd_connections.
class ServingMetrics : public prometheus::Collectable {
 public:
  // `connections` counts the open ones. All sources outlive this.
  ServingMetrics(const Batcher& batcher, const ModelRegistry& models, const MemoryBudget& attention_memory,
                 std::function<int64_t()> connections);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Batcher& batcher_;
  const ModelRegistry& models_;
  const MemoryBudget& attention_memory_;
  const std::function<int64_t()> connections_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_RUNTIME_METRICS_H_
