// OrderedStream: a bidirectional call whose requests run side by side and are answered in order.
#ifndef ATTND_SERVER_RPC_ORDERED_STREAM_H_
#define ATTND_SERVER_RPC_ORDERED_STREAM_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "grpcpp/grpcpp.h"
#include "server/ops/call_monitor.h"
#include "server/rpc/text_job.h"

namespace attnd {

// One request of a stream, until its reply has been sent.
class StreamJob {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status&) &&>;
  virtual ~StreamJob() = default;
  // Once. Calls `done` exactly once, at once or later.
  virtual void Start(Done done) = 0;
  // Any thread, any time; also before Start, which then ends with kCancelled.
  virtual void Cancel() = 0;
  // Before Start: `notify` is to be called, by any thread that holds none of the job's locks, when TakePart has
  // something.
  virtual void OnPart(std::function<void()> /*notify*/) {}
  // A part of the reply, before `done`: false when there is none. Called in turn with Reply, by one thread at a time.
  virtual bool TakePart(grpc::ByteBuffer* /*reply*/) { return false; }
  // The reply, or the rest of it, after `done` with `status`. Tells `monitor` what the request did.
  virtual grpc::ByteBuffer Reply(const absl::Status& status, CallMonitor& monitor) = 0;
};

// Reads ahead while fewer than kMaxItems requests, and less than kMaxBytes of them, are unanswered; then it leaves the
// next ones to HTTP/2's flow control. Holds itself until gRPC is done with it and no job is left.
class OrderedStream : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                      public std::enable_shared_from_this<OrderedStream> {
 public:
  static constexpr size_t kMaxItems = 16;
  static constexpr size_t kMaxBytes = 4 << 20;

  // What the raw callback method returns. `Stream` is the subclass.
  template <typename Stream>
  static OrderedStream* Make(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call) {
    auto stream = std::make_shared<Stream>(context, method, call);
    stream->Begin(stream);
    return stream.get();
  }

 protected:
  OrderedStream(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call);
  // The job of one request, which may be malformed: then the job ends with that error. Called by one thread at a time.
  virtual std::unique_ptr<StreamJob> MakeJob(grpc::ByteBuffer* request, const CallOrigin& origin) = 0;

  ServerContext& context_;

 private:
  struct Item {
    size_t bytes = 0;  // of the request
    bool done = false;
    absl::Status status;
    std::unique_ptr<StreamJob> job;
  };

  void Begin(std::shared_ptr<OrderedStream> self);
  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

  void RunItem(const std::shared_ptr<Item>& item, grpc::ByteBuffer& request) ABSL_LOCKS_EXCLUDED(mutex_);
  void CancelItems() ABSL_LOCKS_EXCLUDED(mutex_);
  // Starts what can be started: the next read, the next write, or the end.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReadIfWanted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsOver() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  grpc::CallbackServerContext* const call_;
  std::shared_ptr<OrderedStream> self_;  // until OnDone
  int64_t drain_id_ = 0;

  absl::Mutex mutex_;  // held across StartRead and StartWrite, which never call back on the caller's stack
  CallMonitor monitor_ ABSL_GUARDED_BY(mutex_);
  const CallOrigin origin_;
  grpc::ByteBuffer read_;   // gRPC's while reading_
  grpc::ByteBuffer write_;  // gRPC's while there is a writing_ or writing_part_
  std::deque<std::shared_ptr<Item>> items_ ABSL_GUARDED_BY(mutex_);  // unanswered, in order
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;                         // of their requests
  bool writing_part_ ABSL_GUARDED_BY(mutex_) = false;                // of the first of items_
  // What is being answered, or null: what the job holds of the server's memory is held until the client has taken it.
  std::shared_ptr<Item> writing_ ABSL_GUARDED_BY(mutex_);
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_reads_ ABSL_GUARDED_BY(mutex_) = false;  // the client has closed its side, or is gone
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;         // nobody receives any more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;       // Finish has been or is being called
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_ORDERED_STREAM_H_
