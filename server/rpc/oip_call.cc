#include "server/rpc/oip_call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"
#include "server/rpc/oip_parameters.h"

namespace attnd {

OipCall::OipCall(const ServedModel& model, const inference::ModelInferRequest& request)
    : model_(model), request_(request) {
  response_.set_model_name(model.name);
  response_.set_model_version("1");
  response_.set_id(request.id());
}

absl::StatusOr<const ServedModel*> FindOipModel(ServerContext& context, const std::string& name,
                                                const std::string& version) {
  const ServedModel* model = context.models.Find(name);
  if (model == nullptr) {
    std::string known;
    for (const ServedModel& other : context.models.models()) {
      if (known.size() > 300) {
        absl::StrAppend(&known, "..., ");
        break;
      }
      absl::StrAppend(&known, other.name, ", ");
    }
    return absl::NotFoundError(
        absl::StrCat("no such model; served are: ", known, context.models.attention().name, " (built in)"));
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
  if (timeout->has_value()) bounded.deadline = std::min(origin.deadline, origin.start + **timeout);
  return (*model)->model == nullptr ? MakeOipAttentionCall(context, bounded, **model, request)
                                    : MakeOipEncoderCall(context, bounded, **model, request);
}

}  // namespace attnd
