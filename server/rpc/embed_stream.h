// EmbedStream: Embed without end, pipelined and in order.
#ifndef ATTND_SERVER_RPC_EMBED_STREAM_H_
#define ATTND_SERVER_RPC_EMBED_STREAM_H_

#include <cstdint>
#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/attnd.pb.h"
#include "grpcpp/grpcpp.h"
#include "server/ops/call_monitor.h"
#include "server/rpc/embed_job.h"

namespace attnd {

// Reads ahead while fewer than kMaxItems requests, and less than kMaxBytes of them, are unanswered; then it leaves the
// next ones to HTTP/2's flow control. Holds itself until gRPC is done with it and no job is left.
class EmbedStreamCall : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                        public std::enable_shared_from_this<EmbedStreamCall> {
 public:
  static constexpr size_t kMaxItems = 16;
  static constexpr size_t kMaxBytes = 4 << 20;

  // What the raw callback method returns.
  static EmbedStreamCall* Make(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call);

  EmbedStreamCall(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call);

 private:
  // One request, until its response has been handed over.
  struct Item {
    uint64_t id = 0;
    size_t bytes = 0;  // of the request
    bool done = false;
    absl::Status status;
    std::unique_ptr<EmbedJob> job;  // null where the request did not parse
  };

  void Begin();
  void OnReadDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

  void RunItem(const std::shared_ptr<Item>& item, const v1::EmbedRequest& request);
  void ItemDone(Item& item, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void CancelItems() ABSL_LOCKS_EXCLUDED(mutex_);
  // Starts what can be started: the next read, the next write, or the end.
  void Advance() ABSL_LOCKS_EXCLUDED(mutex_);
  bool WantsRead() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  grpc::ByteBuffer Reply(Item& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ServerContext& context_;
  grpc::CallbackServerContext* const call_;
  std::shared_ptr<EmbedStreamCall> self_;  // until OnDone
  int64_t drain_id_ = 0;

  absl::Mutex mutex_;  // held across StartRead and StartWrite, which never call back on the caller's stack
  CallMonitor monitor_ ABSL_GUARDED_BY(mutex_);
  CallOrigin origin_;
  grpc::ByteBuffer read_;
  grpc::ByteBuffer write_;
  std::deque<std::shared_ptr<Item>> items_ ABSL_GUARDED_BY(mutex_);  // unanswered, in order
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;                         // of their requests
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool no_more_reads_ ABSL_GUARDED_BY(mutex_) = false;  // the client has closed its side, or is gone
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;         // nobody receives any more
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;       // Finish has been or is being called
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_EMBED_STREAM_H_
