#include "server/rpc/oip_attention.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/aligned.h"
#include "server/ops/status.h"
#include "server/rpc/attention_op.h"
#include "server/rpc/oip_call.h"
#include "server/rpc/oip_parameters.h"
#include "server/rpc/oip_tensors.h"

namespace attnd {
namespace {

class OipAttentionCall : public OipCall {
 public:
  OipAttentionCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                   const inference::ModelInferRequest& request)
      : OipCall(std::move(model), request), op_(context, origin) {}

  void Start(Done done) override {
    if (absl::Status status = Prepare(); !status.ok()) return std::move(done)(status);
    op_.Start([this, done = std::move(done)](const absl::Status& status) mutable {
      op_.EndRespond();
      Done last = std::move(done);  // it may destroy this
      std::move(last)(status);
    });
  }
  void Cancel() override { op_.Cancel(); }
  const StageTimes& times() const override { return op_.times(); }
  void Observe(CallMonitor& monitor) const override { monitor.Observe(op_.times(), 1, op_.tokens()); }

 private:
  absl::Status Prepare();
  float* AddOutput(int index, std::initializer_list<int64_t> shape) {
    return reinterpret_cast<float*>(
        AddOipOutput(kOipAttentionOutputs[static_cast<size_t>(index)], OipType::kFp32, shape, response_));
  }

  AttentionOp op_;
  AlignedBuffer<float> unasked_output_;  // [b, h, n, d], where it is computed but not sent
};

absl::Status OipAttentionCall::Prepare() {
  static const std::vector<OipInputSpec> specs = {
      {"query", {OipType::kFp32}}, {"key", {OipType::kFp32}}, {"value", {OipType::kFp32}}, {"mask", {OipType::kBool}}};
  const OipParameters parameters(request_);
  if (absl::Status status = parameters.RefuseOthers({"causal", "scale"}); !status.ok()) return status;
  const auto causal = parameters.Bool("causal");
  if (!causal.ok()) return causal.status();
  const auto scale = parameters.Number("scale");
  if (!scale.ok()) return scale.status();
  const auto inputs = OipInputs::Read(request_, specs);
  if (!inputs.ok()) return inputs.status();
  for (const absl::string_view name : {"query", "key", "value"}) {
    if (inputs->Find(name) == nullptr) return FieldError("inputs", absl::StrCat(name, " is missing"));
  }
  const OipInput& query = *inputs->Find("query");
  const OipInput& key = *inputs->Find("key");
  const OipInput& value = *inputs->Find("value");
  const OipInput* mask = inputs->Find("mask");
  const auto wanted = ReadOipOutputs(request_, kOipAttentionOutputs, 0);
  if (!wanted.ok()) return wanted.status();

  AttentionOpShapes shapes{.query = query.shape(), .key = key.shape(), .value = value.shape()};
  if (mask != nullptr) shapes.mask = mask->shape();
  if (absl::Status status = op_.SetShapes(shapes, (*wanted)[1], (*wanted)[2]); !status.ok()) return status;
  if (scale->has_value()) {
    if (absl::Status status = op_.SetScale(**scale); !status.ok()) return status;
  }
  AttentionCall& call = op_.call();
  call.query = query.Floats().data();
  call.key = key.Floats().data();
  call.value = value.Floats().data();
  call.mask = mask == nullptr ? nullptr : mask->Bools().data();
  call.causal = causal->value_or(false);
  // The bytes of one output stay where they are when others are added.
  if ((*wanted)[0]) {
    call.output = AddOutput(0, {call.batch, call.heads, call.queries, call.head_dim});
  } else {
    unasked_output_.Reserve(query.Floats().size());
    call.output = unasked_output_.data();
  }
  if ((*wanted)[1]) call.weights = AddOutput(1, {call.batch, call.heads, call.queries, call.keys});
  if ((*wanted)[2]) call.entropy = AddOutput(2, {call.batch, call.heads, call.queries});
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<OipCall> MakeOipAttentionCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                                              const inference::ModelInferRequest& request) {
  return std::make_unique<OipAttentionCall>(context, origin, std::move(model), request);
}

}  // namespace attnd
