#include "server/rpc/oip_stream.h"

#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "inference/grpc_service.pb.h"
#include "server/ops/status.h"
#include "server/rpc/message.h"
#include "server/rpc/oip_call.h"

namespace attnd {
namespace {

// Triton: with this parameter a client asks to be told which response of a request is the last one.
constexpr char kAskFinal[] = "triton_enable_empty_final_response";

class OipStreamJob : public StreamJob {
 public:
  OipStreamJob(ServerContext& context, const CallOrigin& origin, grpc::ByteBuffer* bytes) : start_(origin.start) {
    status_ = ParseMessage(bytes, request_);
    if (!status_.ok()) return;
    auto call = OipCall::Make(context, origin, request_);
    status_ = call.status();
    if (call.ok()) call_ = *std::move(call);
  }

  void Start(Done done) override {
    if (call_ == nullptr) return std::move(done)(status_);
    call_->Start(std::move(done));
  }
  void OnPart(std::function<void()> notify) override {
    if (call_ != nullptr) call_->StreamTo(std::move(notify), AsksFinal());
  }
  bool TakePart(grpc::ByteBuffer* reply) override {
    SliceWriter writer;
    if (call_ == nullptr || !call_->TakePart(writer)) return false;
    *reply = writer.FinishWithin(inference::ModelStreamInferResponse(),
                                 inference::ModelStreamInferResponse::kInferResponseFieldNumber);
    return true;
  }
  void Cancel() override {
    if (call_ != nullptr) call_->Cancel();
  }
  grpc::ByteBuffer Reply(const absl::Status& status, CallMonitor& monitor) override;

 private:
  bool AsksFinal() const {
    const auto asked = request_.parameters().find(kAskFinal);
    return asked != request_.parameters().end() && asked->second.bool_param();
  }

  const absl::Time start_;
  inference::ModelInferRequest request_;
  absl::Status status_;  // of the request, before it ran
  std::unique_ptr<OipCall> call_;
};

grpc::ByteBuffer OipStreamJob::Reply(const absl::Status& status, CallMonitor& monitor) {
  inference::ModelStreamInferResponse reply;
  // A stream may use several models: each request counts for its own.
  if (call_ != nullptr) {
    const absl::Time now = absl::Now();
    call_->model()->counters->Add(status.ok(), now - start_, call_->times(), now);
  }
  inference::ModelInferResponse& response = status.ok() ? call_->response() : *reply.mutable_infer_response();
  if (AsksFinal()) (*response.mutable_parameters())[kOipIsFinal].set_bool_param(true);
  if (status.ok()) {
    call_->Observe(monitor);
    SliceWriter writer;
    call_->Write(writer);
    return writer.FinishWithin(reply, inference::ModelStreamInferResponse::kInferResponseFieldNumber);
  }
  monitor.ItemFailed(status);
  reply.set_error_message(ToRpcStatus(status).message());
  response.set_id(request_.id());
  response.set_model_name(call_ == nullptr ? std::string() : call_->model()->name);
  return SerializeMessage(reply);
}

}  // namespace

std::unique_ptr<StreamJob> OipStream::MakeJob(grpc::ByteBuffer* request, const CallOrigin& origin) {
  return std::make_unique<OipStreamJob>(context_, origin, request);
}

}  // namespace attnd
