#include "server/rpc/generation_job.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"
#include "server/rpc/attention_memory.h"
#include "server/rpc/task_check.h"

namespace attnd {

// One answer, as the generator sees it.
class GenerationJob::Answer : public GenerationListener {
 public:
  Answer(GenerationJob& job, int index) : job_(job), index_(index) {}

  bool Wanted() override { return job_.Wanted(); }
  bool Ready() override { return job_.sink_.Ready(); }
  void OnStart() override { job_.OnStart(); }
  void OnToken(const GeneratedToken& token) override { job_.OnToken(*this, token); }
  void OnEnd(GenerationSummary summary) override { job_.OnEnd(*this, std::move(summary)); }

  int index() const { return index_; }
  absl::Time last_token = absl::InfinitePast();
  absl::Duration token_time = absl::ZeroDuration();  // each token's part of its step's time
  int more = 0;                                      // tokens of the step that are to come

 private:
  GenerationJob& job_;
  const int index_;
};

GenerationJob::GenerationJob(ServerContext& context, const CallOrigin& origin, GenerationSink& sink)
    : context_(context), origin_(origin), sink_(sink), mark_(origin.start) {}

GenerationJob::~GenerationJob() = default;

void GenerationJob::EndStage(absl::Duration& stage) {
  const absl::Time now = std::max(context_.batcher.Now(), mark_);  // the wall clock may step back
  stage += now - mark_;
  mark_ = now;
}

absl::Status GenerationJob::ResolveModel(absl::string_view name, absl::string_view field) {
  auto model = context_.models.Resolve(name);
  if (!model.ok()) return WithField(model.status(), field);
  if (absl::Status status = CheckDecoder(**model); !status.ok()) return WithField(status, field);
  UseModel(*std::move(model));
  return absl::OkStatus();
}

void GenerationJob::UseModel(ServedModelPtr model) {
  model_ = std::move(model);
  metrics_ = &context_.metrics.Generation(model_->name);
}

absl::StatusOr<Encoding> GenerationJob::Tokenise(absl::string_view text, bool add_special_tokens,
                                                 absl::string_view field) {
  const int64_t limit = context_.limits.max_text_bytes;
  if (static_cast<int64_t>(text.size()) > limit) {
    return FieldError(field, absl::StrCat(text.size(), " bytes, at most ", limit, " are allowed (max_text_bytes)"));
  }
  EndValidate();
  auto encoding = model_->tokenizer().Encode({text.data(), text.size()}, {.add_special_tokens = add_special_tokens});
  EndStage(times_.tokenise);
  if (!encoding.ok()) return WithField(encoding.status(), field);
  return encoding;
}

absl::Status GenerationJob::TakeText(absl::string_view text, bool add_special_tokens, absl::string_view field) {
  auto encoding = Tokenise(text, add_special_tokens, field);
  if (encoding.ok()) prompt_ = *std::move(encoding);
  return encoding.status();
}

absl::Status GenerationJob::TakeIds(absl::Span<const int32_t> ids) {
  prompt_ = {};
  prompt_.ids.assign(ids.begin(), ids.end());
  prompt_.spans.resize(ids.size());
  prompt_.special.resize(ids.size());
  prompt_.sequence_ids.resize(ids.size());
  prompt_.word_ids.resize(ids.size());
  for (size_t t = 0; t < ids.size(); ++t) prompt_.word_ids[t] = static_cast<int32_t>(t);
  return absl::OkStatus();
}

absl::Status GenerationJob::HoldMemory(int64_t bytes) {
  return HoldAttentionMemory(context_.attention_memory, bytes, memory_);
}

absl::Status GenerationJob::Start(std::vector<GenerationRequest> requests, bool after_first, absl::string_view field) {
  submitted_.store(true);  // before the look at `cancelled`: Cancel does both the other way round
  if (cancelled_.load()) return absl::CancelledError("the call was cancelled");
  std::vector<Generation> generations;
  for (GenerationRequest& request : requests) {
    answers_.push_back(std::make_shared<Answer>(*this, static_cast<int>(answers_.size())));
    generations.push_back({std::move(request), answers_.back(), origin_.connection});
  }
  texts_ = static_cast<int64_t>(answers_.size());
  EndValidate();
  // On success the call may be over by now: nothing of it may be touched.
  const absl::Status status = model_->decoder->SubmitAll(std::move(generations), after_first);
  if (status.code() != absl::StatusCode::kResourceExhausted) return SubmitError(status, field);
  return WithReason(status, "queue_full", absl::Milliseconds(500));  // answers take longer than texts
}

void GenerationJob::Cancel() {
  cancelled_.store(true);
  if (submitted_.load()) Wake();
}

void GenerationJob::Wake() { model_->decoder->generator().Wake(); }

absl::Status GenerationJob::Abandonment() const {
  if (cancelled_.load(std::memory_order_relaxed)) return absl::CancelledError("the call was cancelled");
  if (context_.batcher.Now() >= origin_.deadline) {
    return absl::DeadlineExceededError("the deadline passed before the answer was complete");
  }
  return absl::OkStatus();
}

bool GenerationJob::Wanted() const { return status_.ok() && Abandonment().ok(); }

void GenerationJob::OnStart() {
  if (started_) return;
  started_ = true;
  EndStage(times_.queue);
  sink_.OnStart();
}

void GenerationJob::OnToken(Answer& answer, const GeneratedToken& token) {
  const absl::Time now = context_.batcher.Now();
  if (first_token_ == absl::ZeroDuration()) {
    first_token_ = std::max(absl::Nanoseconds(1), now - origin_.start);
    metrics_->first_token->Observe(absl::ToDoubleSeconds(first_token_));
  }
  if (answer.last_token != absl::InfinitePast()) {
    if (answer.more == 0) {
      answer.token_time = std::max(absl::ZeroDuration(), now - answer.last_token) / (token.more + 1);
    }
    metrics_->token_latency->Observe(absl::ToDoubleSeconds(answer.token_time));
  }
  answer.last_token = now;
  answer.more = token.more;
  sink_.OnToken(answer.index(), token);
}

void GenerationJob::OnEnd(const Answer& answer, GenerationSummary summary) {
  metrics_->finished[static_cast<size_t>(summary.reason)]->Increment();
  if (summary.reason == FinishReason::kCancelled) {
    const absl::Status status = Abandonment();
    status_.Update(status.ok() ? absl::UnavailableError("the model is being stopped") : status);
  } else if (summary.reason == FinishReason::kFailed) {
    status_.Update(summary.status);
  } else {
    prompt_tokens_ += summary.prompt_tokens - summary.shared_tokens;
    generated_tokens_ += summary.generated_tokens;
    sink_.OnEnd(answer.index(), std::move(summary));
  }
  if (++ended_ < answers_.size()) return;
  EndStage(started_ ? times_.compute : times_.queue);
  sink_.OnDone(status_);  // the job may be gone
}

}  // namespace attnd
