// UnaryCall: what every unary call of the services shares: parse, monitor, cancel, finish once.
#ifndef ATTND_SERVER_RPC_UNARY_H_
#define ATTND_SERVER_RPC_UNARY_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/grpcpp.h"
#include "server/ops/call_monitor.h"
#include "server/ops/status.h"
#include "server/rpc/message.h"
#include "server/rpc/text_job.h"

namespace attnd {

// The origin of a gRPC call.
inline CallOrigin OriginOf(const grpc::CallbackServerContext& call, const CallMonitor& monitor,
                           absl::Duration default_deadline) {
  const auto deadline = call.deadline();
  const absl::Time asked =
      deadline == std::chrono::system_clock::time_point::max() ? absl::InfiniteFuture() : absl::FromChrono(deadline);
  return {monitor.start(), DeadlineOf(asked, monitor.start(), default_deadline), ConnectionKey(call.peer())};
}

// A subclass implements Run, on a thread of gRPC, and calls Respond or Fail exactly once, from any thread, and then
// touches nothing of the call: gRPC may destroy it at any moment. `MakeCall` starts it.
template <typename RequestType, typename ResponseType>
class UnaryCall : public grpc::ServerUnaryReactor {
 public:
  using Request = RequestType;
  using Response = ResponseType;

  UnaryCall(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call,
            grpc::ByteBuffer* reply)
      : context_(context),
        monitor_(context, method, call->peer()),
        origin_(OriginOf(*call, monitor_, context.limits.default_deadline)),
        call_(call),
        reply_(reply) {}

  void Begin(const grpc::ByteBuffer* bytes) {
    monitor_.Received();
    if (context_.drain.started() && !AnsweredToTheEnd()) {
      return Fail(absl::UnavailableError("the server is shutting down"));
    }
    grpc::ByteBuffer copy(*bytes);  // shares the slices
    long_ = copy.Length() >= LongCalls::kLongBytes;
    if (const absl::Status status = ParseMessage(&copy, request_); !status.ok()) return Fail(status);
    Run();
  }

 protected:
  // May finish the call at once or later.
  virtual void Run() = 0;
  // Whether the call asks about the server itself, also while it drains.
  virtual bool AnsweredToTheEnd() const { return false; }

  // `work`, which tokenises the request: at once, or where that is long on a thread of its own. OnCancel may then come
  // before it or meanwhile.
  template <typename Work>
  void Tokenising(Work work) {
    if (!long_) return work();
    context_.long_calls.Add(std::move(work));
  }

  void Respond(const Response& response) { Respond(SerializeMessage(response)); }
  void Respond(grpc::ByteBuffer response) {
    *reply_ = std::move(response);
    monitor_.Sent();
    monitor_.Finish(absl::OkStatus());
    this->Finish(grpc::Status::OK);
  }
  void Fail(const absl::Status& status) {
    monitor_.Finish(status);
    this->Finish(ToGrpcStatus(status, call_));
  }
  void OnDone() override { delete this; }

  ServerContext& context_;
  CallMonitor monitor_;
  const CallOrigin origin_;
  Request request_;

 private:
  grpc::CallbackServerContext* const call_;
  grpc::ByteBuffer* const reply_;
  bool long_ = false;
};

// Creates and starts a call; what a raw callback method returns.
template <typename Call>
grpc::ServerUnaryReactor* MakeCall(ServerContext& context, const MethodMetrics& method,
                                   grpc::CallbackServerContext* call, const grpc::ByteBuffer* bytes,
                                   grpc::ByteBuffer* reply) {
  Call* reactor = new Call(context, method, call, reply);  // deletes itself in OnDone
  reactor->Begin(bytes);
  return reactor;
}

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_UNARY_H_
