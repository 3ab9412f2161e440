// Metrics that are read when somebody scrapes: the process, the queues, the connections.
#ifndef ATTND_SERVER_OPS_RUNTIME_METRICS_H_
#define ATTND_SERVER_OPS_RUNTIME_METRICS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"
#include "server/batching/batcher.h"

namespace attnd {

// process_*: CPU seconds, memory, descriptors, threads, start time, of /proc/self.
class ProcessMetrics : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

// attnd_queue_tokens, attnd_queue_requests, attnd_queue_oldest_seconds by model, and attnd_connections.
class QueueMetrics : public prometheus::Collectable {
 public:
  // `models`: names by the batcher's index. `connections` counts the open ones. Both sources outlive this.
  QueueMetrics(const Batcher& batcher, std::vector<std::string> models, std::function<int64_t()> connections);
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Batcher& batcher_;
  const std::vector<std::string> models_;
  const std::function<int64_t()> connections_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_RUNTIME_METRICS_H_
