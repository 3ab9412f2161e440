// Tells ThreadSanitizer of what gRPC's library, which was built without it, does out of its sight: that what starts a
// read, a write or an end comes before its callback, when the last callback of a call has ended, and that a server's
// shutdown waits for the end of every call. Each callback takes an atomic count down, and who takes it to zero ends the
// call; but some do so inside the library. As tsan_abseil.cc: a function here stands before the library's own and calls
// it.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <grpcpp/server.h>
#include <grpcpp/support/server_callback.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>

#include "absl/base/dynamic_annotations.h"

namespace grpc {
namespace internal {
namespace {

template <typename Function>
Function* Real(const char* name) {
  void* const found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) std::abort();
  return reinterpret_cast<Function*>(found);
}

// Stands in for a reactor while gRPC tells it of a cancellation: its library takes the count down right after.
class Cancelled : public ServerReactor {
 public:
  Cancelled(ServerReactor* reactor, void* count) : reactor_(reactor), count_(count) {}
  void OnCancel() override {
    reactor_->OnCancel();
    __tsan_release(count_);
    delete this;
  }
  void OnDone() override { std::abort(); }
  bool InternalInlineable() override { return reactor_->InternalInlineable(); }

 private:
  ServerReactor* const reactor_;
  void* const count_;
};

}  // namespace

void ServerCallbackCall::CallOnCancel(ServerReactor* reactor) {
  static auto* const real = Real<void(ServerCallbackCall*, ServerReactor*)>(
      "_ZN4grpc8internal18ServerCallbackCall12CallOnCancelEPNS0_13ServerReactorE");
  __tsan_acquire(&on_cancel_conditions_remaining_);  // that the handler has returned
  real(this, new Cancelled(reactor, &callbacks_outstanding_));
}

void ServerCallbackCall::ScheduleOnDone(bool inline_ondone) {
  static auto* const real =
      Real<void(ServerCallbackCall*, bool)>("_ZN4grpc8internal18ServerCallbackCall14ScheduleOnDoneEb");
  __tsan_acquire(&callbacks_outstanding_);
  real(this, inline_ondone);
}

}  // namespace internal

// Every call holds its server by a count, which it lets go after its OnDone. Who takes it to zero wakes the shutdown
// under a lock, which TSan sees; the others are before it by the count alone.
void Server::UnrefWithPossibleNotify() {
  static auto* const real = internal::Real<void(Server*)>("_ZN4grpc6Server23UnrefWithPossibleNotifyEv");
  __tsan_release(this);
  real(this);
}

// The shutdown's own share, and its wait for the rest.
void Server::UnrefAndWaitLocked() {
  static auto* const real = internal::Real<void(Server*)>("_ZN4grpc6Server18UnrefAndWaitLockedEv");
  real(this);
  __tsan_acquire(this);
}

}  // namespace grpc

// By the operation's tag and not by its call: what the callbacks of two operations of one call do to the same thing is
// still a race. What the library does in here is not looked at: of the standard library's templates it calls the
// program's, which called_from_lib of .ci/tsan.supp does not know for the library's.
extern "C" grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t count, void* tag,
                                                 void* reserved) {
  static auto* const real =
      grpc::internal::Real<grpc_call_error(grpc_call*, const grpc_op*, size_t, void*, void*)>("grpc_call_start_batch");
  __tsan_release(tag);
  ABSL_ANNOTATE_IGNORE_READS_AND_WRITES_BEGIN();
  const grpc_call_error error = real(call, ops, count, tag, reserved);
  ABSL_ANNOTATE_IGNORE_READS_AND_WRITES_END();
  return error;
}

// The thread that took a tag out of here runs its callback.
extern "C" grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline, void* reserved) {
  static auto* const real =
      grpc::internal::Real<grpc_event(grpc_completion_queue*, gpr_timespec, void*)>("grpc_completion_queue_next");
  const grpc_event event = real(queue, deadline, reserved);
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}
