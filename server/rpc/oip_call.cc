#include "server/rpc/oip_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"
#include "server/rpc/oip_parameters.h"

namespace attnd {

OipCall::OipCall(ServedModelPtr model, const inference::ModelInferRequest& request)
    : model_(std::move(model)), request_(request) {
  response_.set_model_name(model_->name);
  response_.set_model_version("1");
  response_.set_id(request.id());
}

void OipCall::Write(SliceWriter& writer) {
  google::protobuf::RepeatedPtrField<std::string> tensors;
  tensors.Swap(response_.mutable_raw_output_contents());
  writer.Fields(response_);
  for (std::string& tensor : tensors) {
    writer.Bytes(inference::ModelInferResponse::kRawOutputContentsFieldNumber, std::move(tensor));
  }
}

absl::StatusOr<ServedModelPtr> FindOipModel(ServerContext& context, const std::string& name,
                                            const std::string& version) {
  ServedModelPtr model = context.models.Find(name);
  if (model == nullptr) {
    const std::string known = context.models.Names();
    return absl::NotFoundError(absl::StrCat("no such model; served are: ", known, known.empty() ? "" : ", ",
                                            context.models.attention()->name, " (built in)"));
  }
  if (!version.empty() && version != "1") {
    return absl::NotFoundError(absl::StrCat("model ", model->name, " has the one version 1"));
  }
  return model;
}

absl::StatusOr<std::unique_ptr<OipCall>> OipCall::Make(ServerContext& context, const CallOrigin& origin,
                                                       const inference::ModelInferRequest& request) {
  const auto model = FindOipModel(context, request.model_name(), request.model_version());
  if (!model.ok()) return model.status();
  const auto timeout = OipParameters(request).Timeout();
  if (!timeout.ok()) return timeout.status();
  CallOrigin bounded = origin;
  // Where the client brings no deadline, the server's own is longer for those that generate.
  if ((*model)->is_decoder() && origin.deadline == origin.start + context.limits.default_deadline) {
    bounded.deadline = origin.start + context.limits.default_generation_deadline;
  }
  if (timeout->has_value()) bounded.deadline = std::min(bounded.deadline, origin.start + **timeout);
  if ((*model)->is_decoder()) return MakeOipDecoderCall(context, bounded, *std::move(model), request);
  return (*model)->is_operator() ? MakeOipAttentionCall(context, bounded, *std::move(model), request)
                                 : MakeOipEncoderCall(context, bounded, *std::move(model), request);
}

}  // namespace attnd
