// Attend: the attention of one text, in frames.
#ifndef ATTND_SERVER_RPC_ATTEND_H_
#define ATTND_SERVER_RPC_ATTEND_H_

#include <cstdint>

#include "attnd/v1/attnd.pb.h"
#include "grpcpp/grpcpp.h"
#include "server/ops/call_monitor.h"
#include "server/rpc/text_job.h"

namespace attnd {

// A frame is written when the one before has been taken by the transport, so a slow reader costs the memory of its own
// maps and one frame, and no thread.
class AttendCall : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  AttendCall(ServerContext& context, const MethodMetrics& method, grpc::CallbackServerContext* call);
  // Starts the call; it deletes itself when it is over.
  void Begin(const grpc::ByteBuffer* bytes);

 private:
  enum class Next { kData, kTrailer, kEnd };

  absl::Status Prepare(const v1::AttendRequest& request);
  void Ran(const absl::Status& status);
  void WriteHeader();
  void WriteData();
  void WriteTrailer();
  void Write(grpc::ByteBuffer frame);
  void End(const absl::Status& status);  // once; nothing of the call may be touched afterwards
  void OnWriteDone(bool ok) override;
  void OnCancel() override { job_.Cancel(); }
  void OnDone() override { delete this; }

  ServerContext& context_;
  grpc::CallbackServerContext* const call_;
  CallMonitor monitor_;
  TextJob job_;
  int64_t chunk_bytes_ = 0;
  AttentionResult result_;
  int64_t written_ = 0;  // bytes of result_.data
  Next next_ = Next::kEnd;
  grpc::ByteBuffer frame_;  // being written
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_ATTEND_H_
