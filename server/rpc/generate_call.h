// Generate and Chat: answers to one prompt, token by token.
#ifndef ATTND_SERVER_RPC_GENERATE_CALL_H_
#define ATTND_SERVER_RPC_GENERATE_CALL_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "attnd/v1/attnd.pb.h"
#include "grpcpp/grpcpp.h"
#include "server/ops/call_monitor.h"
#include "server/rpc/generation_attention.h"
#include "server/rpc/generation_job.h"

namespace attnd {

// Events are written one at a time, as the transport takes them. While more than kWaitingBytes of them wait, nothing is
// computed for the call (GenerationSink::Ready), so that a slow reader costs that memory, and as much again in gRPC's
// buffer, and holds nobody up.
class GenerateCallBase : public grpc::ServerWriteReactor<grpc::ByteBuffer>, private GenerationSink {
 public:
  static constexpr size_t kWaitingBytes = 65536;

  GenerateCallBase(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call);
  // Starts the call; it deletes itself when it is over.
  void Begin(const grpc::ByteBuffer* bytes);

 protected:
  // Parses the request and takes the model and the prompt into `job_`.
  virtual absl::Status TakeRequest(grpc::ByteBuffer* bytes) = 0;
  virtual const v1::GenerationOptions& options() const = 0;
  virtual const v1::GenerationAttention* attention() const = 0;  // null: none is asked for
  virtual const char* prompt_field() const = 0;                  // for errors

  ServerContext& context_;
  CallMonitor monitor_;
  GenerationJob job_;

 private:
  absl::Status Prepare(grpc::ByteBuffer* bytes);
  // Gives each answer what keeps its attention.
  absl::Status PlanAttention();
  void MakeStart();

  bool Ready() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnStart() override;
  void OnToken(int answer, const GeneratedToken& token) override;
  void OnEnd(int answer, GenerationSummary summary) override;
  void OnDone(const absl::Status& status) override ABSL_LOCKS_EXCLUDED(mutex_);

  // `more`: another follows at once, and is written with it.
  void Push(const v1::GenerateResponse& event, bool more = false) ABSL_LOCKS_EXCLUDED(mutex_);
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the call is to end now; true once.
  bool TakeEnd() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void End(const absl::Status& status);  // once; nothing of the call may be touched afterwards
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override { job_.Cancel(); }
  void OnDone() override { delete this; }

  grpc::CallbackServerContext* const call_;
  std::vector<GenerationRequest> requests_;
  v1::GenerateResponse start_, summary_;
  std::vector<uint64_t> seeds_;  // [answers]
  std::optional<TokenAttentionSpec> attention_spec_;
  std::vector<std::unique_ptr<TokenAttention>> attentions_;  // [answers], with a spec
  int64_t attention_bytes_ = 0;                              // sent
  absl::Duration attention_time_ = absl::ZeroDuration();     // making them

  absl::Mutex mutex_;  // held across StartWrite, which never calls back on the caller's stack
  std::deque<grpc::ByteBuffer> waiting_ ABSL_GUARDED_BY(mutex_);
  grpc::ByteBuffer writing_;                          // gRPC's while is_writing_
  size_t waiting_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of waiting_ and writing_
  bool is_writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool held_back_ ABSL_GUARDED_BY(mutex_) = false;  // Ready has said no
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // with done_
};

class GenerateCall : public GenerateCallBase {
 public:
  using GenerateCallBase::GenerateCallBase;

 private:
  absl::Status TakeRequest(grpc::ByteBuffer* bytes) override;
  const v1::GenerationOptions& options() const override { return request_.options(); }
  const v1::GenerationAttention* attention() const override {
    return request_.has_attention() ? &request_.attention() : nullptr;
  }
  const char* prompt_field() const override { return request_.has_input_ids() ? "input_ids" : "text"; }

  v1::GenerateRequest request_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_GENERATE_CALL_H_
