// How a TextJob's sequences go through a decoder: each is a prompt that is read and not answered.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "core/attention/token_rows.h"
#include "core/ops/pooling.h"
#include "server/ops/status.h"
#include "server/rpc/text_job.h"

namespace attnd {

// One sequence, as the generator sees it.
class TextJob::Reading : public GenerationListener {
 public:
  Reading(TextJob& job, TextSequence& sequence) : job_(job), sequence_(sequence) {}

  // The memory for its attention is taken here: the call holds it of the server's already.
  GenerationRequest Request() {
    GenerationRequest request;
    request.prompt = sequence_.encoding.ids;
    request.max_tokens = 0;
    if (sequence_.embedding != nullptr) request.embedding = sequence_.pooling;
    if (sequence_.plan == nullptr) return request;
    const ModelShape shape = job_.served().shape();
    request.prompt_attention = sequence_.plan->needed_rows();
    recorder_.emplace(sequence_.plan);
    rows_.emplace(*recorder_, shape.layers, shape.heads, sequence_.encoding.tokens(), request.prompt_attention);
    request.attention = &*rows_;
    return request;
  }

  bool Wanted() override { return !job_.ticket_.Abandoned(job_.context_.batcher.Now()); }
  void OnStart() override { started_at_ = job_.context_.batcher.Now(); }
  void OnToken(const GeneratedToken&) override {}
  void OnEnd(GenerationSummary summary) override {
    const absl::Time now = job_.context_.batcher.Now();
    absl::Status status = summary.status;
    if (summary.reason == FinishReason::kCancelled) {
      status = job_.ticket_.Abandonment(now);
      if (status.ok()) status = absl::UnavailableError("the model is being stopped");
    }
    if (status.ok()) TakeEmbedding(summary.embedding);
    if (status.ok() && recorder_.has_value()) {
      auto attention = recorder_->Finish();
      if (attention.ok()) sequence_.attention = *std::move(attention);
      status = attention.status();
    }
    rows_.reset();
    recorder_.reset();
    const absl::Duration record = job_.context_.batcher.Now() - now;
    job_.SequenceFinished({.started = started_at_, .finished = now, .record = record}, status);  // the job may be gone
  }

 private:
  void TakeEmbedding(const std::vector<float>& embedding) const {
    if (sequence_.embedding == nullptr) return;
    std::copy(embedding.begin(), embedding.end(), sequence_.embedding);
    if (sequence_.normalize.value_or(job_.served().embedding().pooling.normalize)) {
      NormalizeL2(static_cast<int>(embedding.size()), sequence_.embedding);
    }
  }

  TextJob& job_;
  TextSequence& sequence_;
  absl::Time started_at_ = absl::InfiniteFuture();
  std::optional<AttentionRecorder> recorder_;
  std::optional<WholeRows> rows_;  // into the recorder
};

absl::Status TextJob::CheckPrompt(const TextSequence& sequence) const {
  GenerationRequest request;
  request.prompt = sequence.encoding.ids;
  request.max_tokens = 0;
  absl::Status status = model_->decoder->generator().Check(request);
  // "prompt has 0 tokens": what the field is called is the caller's to say.
  constexpr absl::string_view kPrompt = "prompt ";
  if (absl::StartsWith(status.message(), kPrompt)) {
    status = absl::Status(status.code(), status.message().substr(kPrompt.size()));
  }
  return status;
}

absl::Status TextJob::SubmitToDecoder() {
  std::vector<Generation> readings;
  readings.reserve(sequences_.size());
  for (TextSequence& sequence : sequences_) {
    auto reading = std::make_shared<Reading>(*this, sequence);
    GenerationRequest request = reading->Request();
    readings.push_back({std::move(request), std::move(reading), origin_.connection});
  }
  return model_->decoder->SubmitAll(std::move(readings), /*after_first=*/false);
}

}  // namespace attnd
