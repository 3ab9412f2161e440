// CallMonitor: one call's way into the metrics and the access log.
#ifndef ATTND_SERVER_OPS_CALL_MONITOR_H_
#define ATTND_SERVER_OPS_CALL_MONITOR_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/ops/server_context.h"

namespace attnd {

// Lives as long as the call (a member of its reactor). Not thread-safe: the reactor's own rules serialise it, except
// that Finish happens after everything else. Counts the call as in flight until it is destroyed.
class CallMonitor {
 public:
  // `method`: of context.metrics.Method(...), looked up once per service. `peer`: as the ServerContext of gRPC says it.
  CallMonitor(ServerContext& context, const MethodMetrics& method, std::string peer);
  ~CallMonitor();
  CallMonitor(const CallMonitor&) = delete;
  CallMonitor& operator=(const CallMonitor&) = delete;

  absl::Time start() const { return start_; }
  void Received() { method_.received->Increment(); }  // one message
  void Sent() { method_.sent->Increment(); }

  void SetModel(ServedModelPtr model) { model_ = std::move(model); }
  // The stages of a unary call, or of one item of a stream; observed at once, summed for the access log. With `status`
  // not OK an item of a stream counts as rejected and is logged like a refused call.
  void Observe(const StageTimes& times, int64_t texts, int64_t tokens);
  void ObserveAttention(absl::string_view layout, int64_t bytes, absl::Duration time);
  void ItemFailed(const absl::Status& status);

  // Once, with the status the call ends with: handled, handling time, rejected by reason, model counters, log lines.
  void Finish(const absl::Status& status);

 private:
  ServerContext& context_;
  const MethodMetrics& method_;
  const std::string peer_;
  const absl::Time start_;
  ServedModelPtr model_;
  StageTimes times_;
  int64_t texts_ = 0;
  int64_t tokens_ = 0;
  int64_t attention_bytes_ = 0;
  bool finished_ = false;
};

// The queue's connection key of a peer: a hash of its address and port.
uint64_t ConnectionKey(absl::string_view peer);

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_CALL_MONITOR_H_
