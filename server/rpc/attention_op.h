// AttentionOp: one computation of the built-in operator `attention` on its way through the queue; both protocols use
// it.
#ifndef ATTND_SERVER_RPC_ATTENTION_OP_H_
#define ATTND_SERVER_RPC_ATTENTION_OP_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/engine/attention_call.h"
#include "server/ops/server_context.h"
#include "server/rpc/text_job.h"

namespace attnd {

// Shapes of a request's tensors. Their sizes agree with the data behind them.
struct AttentionOpShapes {
  absl::Span<const int64_t> query;                // [b, h, n, d]
  absl::Span<const int64_t> key;                  // [b, h_kv, m, d]
  absl::Span<const int64_t> value;                // [b, h_kv, m, d]
  std::optional<absl::Span<const int64_t>> mask;  // [n, m] or [b, 1 or h, n, m]
};

// Thread rules as TextJob: one thread at a time but for Cancel; lives until `done` has been called, which may destroy
// it.
class AttentionOp {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status&) &&>;

  AttentionOp(ServerContext& context, const CallOrigin& origin);
  ~AttentionOp();

  // Sets the sizes of `call()`, its mask's strides and the default scale. kInvalidArgument names the tensor; all
  // figures that disagree are in the message. Errors of kResourceExhausted name the bytes of the outputs and the
  // server's limit, of a call or of all together: nothing has been allocated by then.
  absl::Status SetShapes(const AttentionOpShapes& shapes, bool weights, bool entropy);
  absl::Status SetScale(double scale);

  AttentionCall& call() { return call_; }  // its pointers are the caller's to set, after SetShapes

  // Queues the computation and calls `done` exactly once, as TextJob::Start does.
  void Start(Done done);
  void Cancel();  // any thread, any time

  const StageTimes& times() const { return times_; }
  void EndRespond();
  absl::Duration total() const { return mark_ - origin_.start; }
  int64_t tokens() const { return call_.batch * call_.queries; }  // its cost in the queue

 private:
  class Item;
  void EndStage(absl::Duration& stage);

  ServerContext& context_;
  const CallOrigin origin_;
  absl::Time mark_;  // end of the last stage
  StageTimes times_;
  AttentionCall call_;
  MemoryBudget::Lease memory_;  // of the outputs
  CallTicket ticket_;
  std::unique_ptr<Item> item_;
  Done done_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_ATTENTION_OP_H_
