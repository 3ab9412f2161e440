// A decoder's inference request: from tensors to a GenerationJob, and from its tokens to tensors, whole or as they
// come.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/attention/growing_maps.h"
#include "server/ops/status.h"
#include "server/rpc/generation_job.h"
#include "server/rpc/generation_options.h"
#include "server/rpc/oip_call.h"
#include "server/rpc/oip_decoder.h"
#include "server/rpc/oip_parameters.h"
#include "server/rpc/oip_tensors.h"

namespace attnd {
namespace {

// Of text that waits for a slow reader of a stream: then nothing is computed for it.
constexpr size_t kWaitingBytes = 65536;

class OipDecoderCall : public OipCall, private GenerationSink {
 public:
  OipDecoderCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                 const inference::ModelInferRequest& request)
      : OipCall(std::move(model), request), context_(context), job_(context, origin, *this) {}

  void StreamTo(Notify notify, bool tell_final) override {
    notify_ = std::move(notify);
    tell_final_ = tell_final;
  }
  bool TakePart(SliceWriter& writer) override ABSL_LOCKS_EXCLUDED(mutex_);

  void Start(Done done) override;
  void Cancel() override { job_.Cancel(); }
  const StageTimes& times() const override { return job_.times(); }
  void Observe(CallMonitor& monitor) const override { job_.Observe(monitor); }

 private:
  // What has come of the answer and was not sent yet.
  struct Part {
    std::string text;
    std::vector<int32_t> ids;
    std::vector<float> logprobs;
    size_t bytes() const { return text.size() + ids.size() * (sizeof(int32_t) + sizeof(float)); }
  };

  absl::StatusOr<GenerationRequest> Prepare();
  absl::Status PlanAttention(GenerationRequest& request);
  void AddOutputs(const Part& part, inference::ModelInferResponse& response) const;
  void AddEnd();
  void AddAttention();

  // GenerationSink, on the model's thread.
  bool Ready() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnToken(int answer, const GeneratedToken& token) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnEnd(int /*answer*/, GenerationSummary summary) override { summary_ = std::move(summary); }
  void OnDone(const absl::Status& status) override;

  ServerContext& context_;
  GenerationJob job_;
  OipDecoderRequest asked_{.selection = HeadSelection::All(model_->shape().layers, model_->shape().heads)};
  uint64_t seed_ = 0;
  std::unique_ptr<GrowingMaps> maps_;  // of the attention; its memory is the response's
  Notify notify_;                      // of a stream, else null
  bool tell_final_ = false;            // the responses say which is the last one
  Done done_;
  GenerationSummary summary_;

  absl::Mutex mutex_;
  Part part_ ABSL_GUARDED_BY(mutex_);
  bool last_came_ ABSL_GUARDED_BY(mutex_) = false;
  bool held_back_ ABSL_GUARDED_BY(mutex_) = false;  // Ready has said no
};

void OipDecoderCall::Start(Done done) {
  auto request = Prepare();
  if (!request.ok()) return std::move(done)(request.status());
  done_ = std::move(done);
  std::vector<GenerationRequest> requests;
  requests.push_back(*std::move(request));
  // Started, the call may be over at once.
  if (absl::Status status = job_.Start(std::move(requests), /*after_first=*/false, "inputs"); !status.ok()) {
    std::move(done_)(status);
  }
}

absl::StatusOr<GenerationRequest> OipDecoderCall::Prepare() {
  job_.UseModel(model_);
  auto asked = OipDecoderRequest::Read(request_, model_->shape(), notify_ != nullptr);
  if (!asked.ok()) return asked.status();
  asked_ = *std::move(asked);
  const char* const prompt = asked_.text.has_value() ? "text" : "input_ids";
  const absl::Status taken = asked_.text.has_value() ? job_.TakeText(*asked_.text, asked_.add_special_tokens, prompt)
                                                     : job_.TakeIds(asked_.ids);
  if (!taken.ok()) return taken;
  auto request = ToGenerationRequest(asked_.options, job_.decoder(), "parameters");
  if (!request.ok()) return request.status();
  request->prompt = job_.prompt().ids;
  if (absl::Status status = job_.Check(*request); !status.ok()) return GenerationError(status, "parameters", prompt);
  seed_ = request->sampling.seed;
  if (absl::Status status = PlanAttention(*request); !status.ok()) return status;
  return request;
}

// The maps of prompt and generated tokens but the last, at most.
absl::Status OipDecoderCall::PlanAttention(GenerationRequest& request) {
  if (!asked_.Wants(kGenAttention)) return absl::OkStatus();
  const int prompt = job_.prompt().tokens();
  const int tokens = std::min(model_->shape().max_tokens, prompt + std::max(0, request.max_tokens - 1));
  const auto [layers, heads] = ShapeOf(asked_.selection);
  const std::vector<int64_t> shape = {layers, heads, tokens, tokens};
  const int64_t bytes = OipBytes(OipType::kFp32, shape), limit = context_.limits.max_attention_bytes;
  if (bytes > limit) {
    return WithReason(
        absl::ResourceExhaustedError(absl::StrCat("outputs: attention of up to ", tokens, " tokens needs ", bytes,
                                                  " bytes, the limit is ", limit,
                                                  " (the server's max_attention_bytes); select fewer layers or heads, "
                                                  "or lower max_tokens")),
        "attention_cap");
  }
  if (absl::Status status = job_.HoldMemory(bytes); !status.ok()) return status;
  char* const to = AddOipOutput(kOipDecoderOutputs[kGenAttention], OipType::kFp32, shape, response_);
  maps_ = std::make_unique<GrowingMaps>(asked_.selection, tokens, reinterpret_cast<float*>(to));
  request.attention = maps_.get();
  request.prompt_attention = {0, prompt};
  return absl::OkStatus();
}

bool OipDecoderCall::Ready() {
  if (notify_ == nullptr) return true;
  absl::MutexLock lock(&mutex_);
  held_back_ = part_.bytes() >= kWaitingBytes;
  return !held_back_;
}

void OipDecoderCall::OnToken(int, const GeneratedToken& token) {
  {
    absl::MutexLock lock(&mutex_);
    part_.text += token.text;
    part_.ids.push_back(token.id);
    if (asked_.Wants(kGenLogprobs)) part_.logprobs.push_back(token.logprob);
    last_came_ = token.last;
  }
  if (notify_ != nullptr && !token.last) notify_();
}

bool OipDecoderCall::TakePart(SliceWriter& writer) {
  Part part;
  bool ready = false;
  {
    absl::MutexLock lock(&mutex_);
    if (part_.ids.empty() || last_came_) return false;  // the last one goes with the end
    part = std::exchange(part_, Part());
    ready = std::exchange(held_back_, false);
  }
  if (ready) job_.Wake();
  inference::ModelInferResponse response;
  response.set_model_name(model_->name);
  response.set_model_version("1");
  response.set_id(request_.id());
  AddOutputs(part, response);
  if (tell_final_) (*response.mutable_parameters())[kOipIsFinal].set_bool_param(false);
  writer.Fields(response);
  return true;
}

void OipDecoderCall::AddOutputs(const Part& part, inference::ModelInferResponse& response) const {
  const auto count = static_cast<int64_t>(part.ids.size());
  const auto add = [&](OipDecoderOutput output, OipType type, const void* from) {
    if (!asked_.Wants(output)) return;
    char* const to = AddOipOutput(kOipDecoderOutputs[output], type, {count}, response);
    if (count > 0) std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  };
  if (asked_.Wants(kGenText)) {
    AppendOipByteString(part.text, AddOipByteStrings(kOipDecoderOutputs[kGenText], {1}, response));
  }
  add(kGenTokenIds, OipType::kInt32, part.ids.data());
  add(kGenLogprobs, OipType::kFp32, part.logprobs.data());
}

void OipDecoderCall::AddAttention() {
  const int tokens = summary_.prompt_tokens + std::max(0, summary_.generated_tokens - 1);
  maps_->Shrink(tokens);
  const auto [layers, heads] = ShapeOf(asked_.selection);
  const std::vector<int64_t> shape = {layers, heads, tokens, tokens};
  response_.mutable_outputs(0)->mutable_shape()->Assign(shape.begin(), shape.end());
  response_.mutable_raw_output_contents(0)->resize(static_cast<size_t>(OipBytes(OipType::kFp32, shape)));
}

void OipDecoderCall::AddEnd() {
  if (maps_ != nullptr) AddAttention();
  Part part;
  {
    absl::MutexLock lock(&mutex_);
    part = std::exchange(part_, Part());
  }
  AddOutputs(part, response_);
  if (asked_.Wants(kGenPromptLogprobs)) {
    const std::vector<float>& logprobs = summary_.prompt_logprobs;
    char* const to = AddOipOutput(kOipDecoderOutputs[kGenPromptLogprobs], OipType::kFp32,
                                  {static_cast<int64_t>(logprobs.size())}, response_);
    if (!logprobs.empty()) std::memcpy(to, logprobs.data(), logprobs.size() * sizeof(float));
  }
  auto& parameters = *response_.mutable_parameters();
  parameters["finish_reason"].set_string_param(std::string(FinishReasonName(summary_.reason)));
  parameters["prompt_tokens"].set_int64_param(summary_.prompt_tokens);
  parameters["generated_tokens"].set_int64_param(summary_.generated_tokens);
  parameters["seed"].set_uint64_param(seed_);
}

void OipDecoderCall::OnDone(const absl::Status& status) {
  if (status.ok()) {
    AddEnd();
    job_.EndRespond();
  }
  Done last = std::move(done_);  // it may destroy this
  std::move(last)(status);
}

}  // namespace

std::unique_ptr<OipCall> MakeOipDecoderCall(ServerContext& context, const CallOrigin& origin, ServedModelPtr model,
                                            const inference::ModelInferRequest& request) {
  return std::make_unique<OipDecoderCall>(context, origin, std::move(model), request);
}

}  // namespace attnd
