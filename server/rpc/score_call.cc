#include "server/rpc/score_call.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/generation_options.h"
#include "server/rpc/replies.h"

namespace attnd {

void ScoreCall::Run() {
  Tokenising([this] {
    absl::Status status = Prepare();
    if (status.ok()) status = job_.Start(std::move(requests_), /*after_first=*/true, "continuations");
    if (!status.ok()) End(status);
  });
}

absl::Status ScoreCall::Prepare() {
  if (absl::Status status = job_.ResolveModel(request_.model()); !status.ok()) return status;
  if (absl::Status status = CheckSizes(); !status.ok()) return status;
  for (int i = 0; i < request_.continuations_size(); ++i) {
    if (absl::Status status = Add(i); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ScoreCall::CheckSizes() const {
  const int64_t count = request_.continuations_size();
  const Limits& limits = context_.limits;
  if (count < 1 || count > limits.max_texts_per_call) {
    return FieldError("continuations", absl::StrCat(count, " continuations: at least 1, at most ",
                                                    limits.max_texts_per_call, " (max_texts_per_call)"));
  }
  int64_t bytes = 0;
  for (const std::string& continuation : request_.continuations()) {
    bytes += static_cast<int64_t>(request_.text().size() + continuation.size());
  }
  if (bytes <= limits.max_message_bytes) return absl::OkStatus();
  return FieldError("continuations",
                    absl::StrCat("make ", bytes, " bytes with the text before each, at most ", limits.max_message_bytes,
                                 " are allowed (max_message_bytes); send fewer"));
}

absl::Status ScoreCall::Add(int i) {
  if (context_.batcher.Now() >= origin_.deadline) {
    return absl::DeadlineExceededError("the deadline passed while the texts were tokenised");
  }
  const std::string field = absl::StrCat("continuations[", i, "]");
  const int text_bytes = static_cast<int>(request_.text().size());
  const bool special = !request_.has_add_special_tokens() || request_.add_special_tokens();
  auto encoding = job_.Tokenise(request_.text() + request_.continuations(i), special, field);
  if (!encoding.ok()) return encoding.status();
  // The continuation's tokens: from the first that reaches beyond the text to the last that is of the texts.
  int begin = 0, end = encoding->tokens();
  while (begin < end && (encoding->special[begin] || encoding->spans[begin].end <= text_bytes)) ++begin;
  while (end > begin && encoding->special[end - 1]) --end;
  if (begin == end) return FieldError(field, "has no tokens");
  if (begin == 0) {
    return FieldError("text", "has no tokens, and the model puts none before it: a first token follows nothing");
  }
  encoding->ids.resize(static_cast<size_t>(end));
  v1::ScoredText& scored = *response_.add_continuations();
  for (int t = begin; t < end; ++t) {
    v1::Token& token = *scored.add_tokens();
    token.set_id(encoding->ids[t]);
    token.set_text(job_.served().tokenizer().TokenText(encoding->ids[t]));
    token.set_begin(static_cast<uint32_t>(std::max(0, encoding->spans[t].begin - text_bytes)));
    token.set_end(static_cast<uint32_t>(encoding->spans[t].end - text_bytes));
    token.set_word(encoding->word_ids[t] - encoding->word_ids[begin]);
  }
  GenerationRequest request;
  request.prompt = std::move(encoding->ids);
  request.max_tokens = 0;
  request.prompt_logprobs = true;
  request.logprobs_from = begin;
  if (absl::Status status = job_.Check(request); !status.ok()) return GenerationError(status, field, field);
  requests_.push_back(std::move(request));
  return absl::OkStatus();
}

void ScoreCall::OnEnd(int answer, GenerationSummary summary) {
  v1::ScoredText& scored = *response_.mutable_continuations(answer);
  double sum = 0;
  for (const float logprob : summary.prompt_logprobs) sum += logprob;
  scored.set_logprob(static_cast<float>(sum));
  scored.mutable_logprobs()->Add(summary.prompt_logprobs.begin(), summary.prompt_logprobs.end());
  scored.set_greedy(std::all_of(summary.prompt_greedy.begin(), summary.prompt_greedy.end(), [](bool g) { return g; }));
  response_.set_tokens(response_.tokens() + static_cast<uint64_t>(summary.prompt_tokens - summary.shared_tokens));
}

void ScoreCall::End(const absl::Status& status) {
  if (job_.has_model()) monitor_.SetModel(job_.served_model());
  if (!status.ok()) return Fail(status);
  response_.set_model(job_.served().name);
  job_.EndRespond();
  FillTimings(job_.times(), job_.total(), *response_.mutable_timings());
  job_.Observe(monitor_);
  Respond(response_);
}

}  // namespace attnd
