// OipCall: one inference request of the Open Inference Protocol, from its arrival to its response.
#ifndef ATTND_SERVER_RPC_OIP_CALL_H_
#define ATTND_SERVER_RPC_OIP_CALL_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "inference/grpc_service.pb.h"
#include "server/ops/call_monitor.h"
#include "server/ops/server_context.h"
#include "server/rpc/slice_writer.h"
#include "server/rpc/text_job.h"

namespace attnd {

// Thread rules: one thread at a time, but for Cancel; lives until `done` has been called, which may destroy it.
class OipCall {
 public:
  using Done = absl::AnyInvocable<void(const absl::Status&) &&>;

  // The call of the model that `request` names: an encoder's or the built-in operator's. kNotFound for an unknown one.
  // `request` must outlive the call.
  static absl::StatusOr<std::unique_ptr<OipCall>> Make(ServerContext& context, const CallOrigin& origin,
                                                       const inference::ModelInferRequest& request);
  virtual ~OipCall() = default;

  // Checks the request, queues the work and calls `done` exactly once: at once, or from a worker.
  virtual void Start(Done done) = 0;
  // Nobody waits any more. Any thread, any time.
  virtual void Cancel() = 0;

  // Before Start: the answer may come in parts, where the model makes it bit by bit. `notify` is called, from any
  // thread, when there is one to take; with `tell_final` each says whether it is the last one. What is in response() in
  // the end is the rest.
  using Notify = std::function<void()>;
  virtual void StreamTo(Notify /*notify*/, bool /*tell_final*/) {}
  // Writes what has come since the last part, if anything; false: nothing. One thread at a time, until `done`.
  virtual bool TakePart(SliceWriter& /*writer*/) { return false; }

  // In `done`, when it went well.
  inference::ModelInferResponse& response() { return response_; }
  // The bytes of the response, once: its tensors, which are nearly all of it, are not copied.
  void Write(SliceWriter& writer);
  virtual void Observe(CallMonitor& monitor) const = 0;
  virtual const StageTimes& times() const = 0;  // also where it went wrong
  const ServedModelPtr& model() const { return model_; }

 protected:
  OipCall(ServedModelPtr model, const inference::ModelInferRequest& request);

  const ServedModelPtr model_;
  const inference::ModelInferRequest& request_;
  inference::ModelInferResponse response_;
};

// Triton's name for which response of a request is the last one.
inline constexpr char kOipIsFinal[] = "triton_final_response";

// The model a request names, with the version checked ("1" or none). kNotFound, listing what there is.
absl::StatusOr<ServedModelPtr> FindOipModel(ServerContext& context, const std::string& name,
                                            const std::string& version);

std::unique_ptr<OipCall> MakeOipEncoderCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                                            const inference::ModelInferRequest& request);
std::unique_ptr<OipCall> MakeOipDecoderCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                                            const inference::ModelInferRequest& request);
std::unique_ptr<OipCall> MakeOipAttentionCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                                              const inference::ModelInferRequest& request);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_CALL_H_
