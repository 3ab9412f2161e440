#include "server/rpc/generate_call.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"
#include "server/rpc/generation_options.h"
#include "server/rpc/message.h"
#include "server/rpc/replies.h"
#include "server/rpc/unary.h"

namespace attnd {

GenerateCallBase::GenerateCallBase(ServerContext& context, const MethodMetrics& method,
                                   grpc::CallbackServerContext* call)
    : context_(context),
      monitor_(context, method, call->peer()),
      job_(context, OriginOf(*call, monitor_, context.limits.default_generation_deadline), *this),
      call_(call) {}

void GenerateCallBase::Begin(const grpc::ByteBuffer* bytes) {
  monitor_.Received();
  if (context_.drain.started()) return End(absl::UnavailableError("the server is shutting down"));
  grpc::ByteBuffer copy(*bytes);  // shares the slices
  absl::Status status = Prepare(&copy);
  if (status.ok()) status = job_.Start(std::move(requests_), /*after_first=*/true, "options.n");
  if (!status.ok()) End(status);
}

absl::Status GenerateCallBase::Prepare(grpc::ByteBuffer* bytes) {
  if (absl::Status status = TakeRequest(bytes); !status.ok()) return status;
  auto request = ToGenerationRequest(options(), job_.decoder());
  if (!request.ok()) return request.status();
  request->prompt = job_.prompt().ids;
  if (absl::Status status = job_.Check(*request); !status.ok()) {
    return GenerationError(status, "options", prompt_field());
  }
  auto requests = ForEachAnswer(*request, options().n());
  if (!requests.ok()) return requests.status();
  requests_ = *std::move(requests);
  for (const GenerationRequest& answer : requests_) seeds_.push_back(answer.sampling.seed);
  if (absl::Status status = PlanAttention(); !status.ok()) return status;
  MakeStart();
  return absl::OkStatus();
}

absl::Status GenerateCallBase::PlanAttention() {
  if (attention() == nullptr) return absl::OkStatus();
  const ModelShape shape = job_.served().shape();
  auto spec = ToTokenAttentionSpec(*attention(), shape.layers, shape.heads);
  if (!spec.ok()) return spec.status();
  const int prompt = job_.prompt().tokens(), max_tokens = requests_[0].max_tokens;
  const int64_t answers = static_cast<int64_t>(requests_.size()), limit = context_.limits.max_attention_bytes;
  const int64_t bytes = answers * spec->AnswerBytes(prompt, max_tokens, shape.max_tokens);
  if (bytes > limit) {
    return WithReason(
        absl::ResourceExhaustedError(absl::StrCat("attention: up to ", max_tokens, " tokens of ", answers,
                                                  " answers need ", bytes, " bytes, the limit is ", limit,
                                                  " (the server's max_attention_bytes); select fewer layers or heads, "
                                                  "take TOP_K, or lower max_tokens")),
        "attention_cap");
  }
  const int64_t held = answers * spec->HeldBytes(prompt, max_tokens, shape.max_tokens);
  if (absl::Status status = job_.HoldMemory(held); !status.ok()) return status;
  attention_spec_ = *std::move(spec);
  for (GenerationRequest& request : requests_) {
    attentions_.push_back(std::make_unique<TokenAttention>(*attention_spec_, request.prompt, shape.max_tokens));
    request.attention = &attentions_.back()->sink();
  }
  return absl::OkStatus();
}

void GenerateCallBase::MakeStart() {
  v1::GenerationStart& start = *start_.mutable_start();
  start.set_model(job_.served().name);
  FillTokens(job_.prompt(), job_.served().tokenizer(), *start.mutable_prompt());
  if (attention_spec_.has_value()) FillHeads(*attention_spec_, start);
  summary_.mutable_summary()->set_prompt_tokens(static_cast<uint32_t>(job_.prompt().tokens()));
}

bool GenerateCallBase::Ready() {
  absl::MutexLock lock(&mutex_);
  held_back_ = waiting_bytes_ >= kWaitingBytes;
  return !held_back_;
}

void GenerateCallBase::OnStart() {
  Push(start_);
  start_.Clear();
}

void GenerateCallBase::OnToken(int answer, const GeneratedToken& token) {
  v1::GenerateResponse event;
  v1::GenerationDelta& delta = *event.mutable_delta();
  delta.set_answer(static_cast<uint32_t>(answer));
  delta.set_index(static_cast<uint32_t>(token.index));
  delta.set_id(token.id);
  delta.set_text(token.text);
  if (options().has_logprobs()) delta.set_logprob(token.logprob);
  for (const TokenLogprob& top : token.top) {
    v1::TokenLogprob& to = *delta.add_top();
    to.set_id(top.id);
    to.set_token(job_.served().tokenizer().TokenText(top.id));
    to.set_logprob(top.logprob);
  }
  if (attention_spec_.has_value()) {
    const absl::Time begin = context_.batcher.Now();
    attentions_[static_cast<size_t>(answer)]->Fill(token.id, *delta.mutable_attention());
    attention_time_ += std::max(absl::ZeroDuration(), context_.batcher.Now() - begin);
    attention_bytes_ += attention_spec_->Bytes(static_cast<int>(delta.attention().columns()));
  }
  Push(event, /*more=*/token.more > 0);
}

void GenerateCallBase::OnEnd(int answer, GenerationSummary summary) {
  v1::GenerateResponse event;
  v1::GenerationEnd& end = *event.mutable_end();
  end.set_answer(static_cast<uint32_t>(answer));
  end.set_reason(summary.reason == FinishReason::kStop ? v1::FINISH_REASON_STOP : v1::FINISH_REASON_LENGTH);
  end.set_tokens(static_cast<uint32_t>(summary.generated_tokens));
  end.set_seed(seeds_[static_cast<size_t>(answer)]);
  Push(event);
  if (answer != 0) return;
  v1::GenerationSummary& of_all = *summary_.mutable_summary();
  of_all.set_shared_tokens(static_cast<uint32_t>(summary.shared_tokens));
  of_all.mutable_prompt_logprobs()->Add(summary.prompt_logprobs.begin(), summary.prompt_logprobs.end());
}

void GenerateCallBase::OnDone(const absl::Status& status) {
  if (status.ok()) {
    v1::GenerationSummary& summary = *summary_.mutable_summary();
    summary.set_generated_tokens(static_cast<uint32_t>(job_.generated_tokens()));
    summary.set_time_to_first_token_ns(static_cast<uint64_t>(absl::ToInt64Nanoseconds(job_.time_to_first_token())));
    // How fast the client reads is not the server's time: the last stage ends here.
    job_.EndRespond();
    FillTimings(job_.times(), job_.total(), *summary.mutable_timings());
    Push(summary_);
  }
  job_.Observe(monitor_);
  if (attention_spec_.has_value()) {
    const char* layout = !attention_spec_->rows ? "statistics" : attention_spec_->top_k > 0 ? "top_k" : "dense";
    monitor_.ObserveAttention(layout, attention_bytes_, attention_time_);
  }
  {
    absl::MutexLock lock(&mutex_);
    done_ = true;
    status_ = status;
    if (!TakeEnd()) return;
  }
  End(status);
}

void GenerateCallBase::Push(const v1::GenerateResponse& event, bool more) {
  grpc::ByteBuffer bytes = SerializeMessage(event);
  absl::MutexLock lock(&mutex_);
  waiting_bytes_ += bytes.Length();
  waiting_.push_back(std::move(bytes));
  if (!more) WriteNext();
}

void GenerateCallBase::WriteNext() {
  if (is_writing_ || waiting_.empty()) return;
  writing_ = std::move(waiting_.front());
  waiting_.pop_front();
  is_writing_ = true;
  monitor_.Sent();
  // What another follows at once, as tokens of one step do, goes with it in one system call.
  grpc::WriteOptions options;
  if (!waiting_.empty()) options.set_buffer_hint();
  StartWrite(&writing_, options);
}

bool GenerateCallBase::TakeEnd() {
  if (!done_ || is_writing_ || finished_) return false;
  if (status_.ok() && !waiting_.empty()) return false;
  return finished_ = true;
}

void GenerateCallBase::OnWriteDone(bool ok) {
  bool ready = false;
  absl::Status status;
  {
    absl::MutexLock lock(&mutex_);
    is_writing_ = false;
    waiting_bytes_ -= writing_.Length();
    writing_.Clear();
    if (!ok) waiting_.clear();
    if (!done_ || status_.ok()) WriteNext();
    if (held_back_ && waiting_bytes_ < kWaitingBytes / 2) {
      held_back_ = false;
      ready = true;
    }
    if (!TakeEnd()) {
      // The call cannot go while this runs: gRPC calls OnDone after it.
      if (!ok) job_.Cancel();
      if (ready) job_.Wake();
      return;
    }
    status = ok || !status_.ok() ? status_ : absl::CancelledError("the client went away");
  }
  End(status);
}

void GenerateCallBase::End(const absl::Status& status) {
  if (job_.has_model()) monitor_.SetModel(job_.served_model());
  monitor_.Finish(status);
  Finish(ToGrpcStatus(status, call_));
}

absl::Status GenerateCall::TakeRequest(grpc::ByteBuffer* bytes) {
  if (absl::Status status = ParseMessage(bytes, request_); !status.ok()) return status;
  if (absl::Status status = job_.ResolveModel(request_.model()); !status.ok()) return status;
  if (request_.has_input_ids()) return job_.TakeIds(request_.input_ids().ids());
  if (request_.prompt_case() != v1::GenerateRequest::kText) return FieldError("prompt", "text or input_ids is needed");
  const bool special = !request_.has_add_special_tokens() || request_.add_special_tokens();
  absl::Status status = job_.TakeText(request_.text(), special, "text");
  request_.clear_text();
  return status;
}

}  // namespace attnd
