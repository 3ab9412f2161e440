#include "server/rpc/embed_stream.h"

#include <utility>

#include "attnd/v1/attnd.pb.h"
#include "server/ops/status.h"
#include "server/rpc/embed_job.h"
#include "server/rpc/message.h"

namespace attnd {
namespace {

class EmbedStreamJob : public StreamJob {
 public:
  EmbedStreamJob(ServerContext& context, const CallOrigin& origin, grpc::ByteBuffer* bytes)
      : parsed_(ParseMessage(bytes, message_)), job_(context, origin) {}

  void Start(Done done) override {
    if (!parsed_.ok()) return std::move(done)(parsed_);
    job_.Start(message_.request(), std::move(done));
  }
  void Cancel() override { job_.Cancel(); }

  grpc::ByteBuffer Reply(const absl::Status& status, CallMonitor& monitor) override {
    v1::EmbedStreamResponse reply;
    reply.set_id(message_.id());
    job_.NameModel(monitor);
    if (!status.ok()) {
      monitor.ItemFailed(status);
      *reply.mutable_error() = ToRpcStatus(status);
      return SerializeMessage(reply);
    }
    job_.Report(monitor);
    SliceWriter response;
    job_.Write(response);
    return response.FinishWithin(reply, v1::EmbedStreamResponse::kResponseFieldNumber);
  }

 private:
  v1::EmbedStreamRequest message_;
  const absl::Status parsed_;
  EmbedJob job_;
};

}  // namespace

std::unique_ptr<StreamJob> EmbedStreamCall::MakeJob(grpc::ByteBuffer* request, const CallOrigin& origin) {
  return std::make_unique<EmbedStreamJob>(context_, origin, request);
}

}  // namespace attnd
