// Generator: from the logits of a step to the tokens of its answers.
#include <algorithm>
#include <string>
#include <utility>

#include "core/engine/generator_active.h"
#include "core/ops/logits.h"

namespace attnd {

void Generator::UseOutput(const std::vector<ScheduledWork>& plan, const DecoderBatch& batch,
                          const Decoder::Output& output, WorkTeam::Session& session) {
  const int64_t vocabulary = decoder_.config().vocab_size;
  std::vector<int64_t> logit_rows(plan.size());
  for (size_t i = 0, row = 0; i < plan.size(); ++i) {
    logit_rows[i] = static_cast<int64_t>(row);
    row += batch.chunks[i].ids.size() - batch.chunks[i].logits_from;
  }
  session.ParallelFor(static_cast<int64_t>(plan.size()), [&](int64_t i, int) {
    const ScheduledWork& work = plan[i];
    auto& active = *static_cast<Active*>(work.sequence->owner);
    float* logits = const_cast<float*>(output.logits) + logit_rows[i] * vocabulary;  // the workspace is ours
    TakePromptOutput(work, batch.begins[i], batch.chunks[i].logits_from, logits, output, active);
    const bool last = work.begin + work.count == static_cast<int>(work.sequence->ids.size());
    if (!last || active.request.max_tokens == 0) return;
    logits += (work.count - 1 - batch.chunks[i].logits_from) * vocabulary;
    // The row of a draft that was right gives the token after it: each is sampled as if it had come alone.
    for (int d = 0; SampleToken(active, logits) && d < work.drafts && active.tokens.back().id == active.draft[d]; ++d) {
      logits += vocabulary;
    }
  });
  FinishEmbeddings(plan, session);
  for (const ScheduledWork& work : plan) {
    auto& active = *static_cast<Active*>(work.sequence->owner);
    counts_.prompt_tokens += std::clamp(active.prompt - work.begin, 0, work.count);
    counts_.generated_tokens += static_cast<int64_t>(active.tokens.size());
    if (work.drafts == 0) continue;
    const int accepted = std::max(0, static_cast<int>(active.tokens.size()) - 1);
    counts_.drafted_tokens += work.drafts;
    counts_.accepted_tokens += accepted;
    active.policy.Verified(work.drafts, accepted);
  }
}

void Generator::TakePromptOutput(const ScheduledWork& work, int row, int first_logits, const float* logits,
                                 const Decoder::Output& output, Active& active) const {
  const GenerationRequest& request = active.request;
  const int vocabulary = decoder_.config().vocab_size, width = decoder_.config().hidden_size;
  const int end = std::min(work.begin + work.count, active.prompt);
  for (int t = std::max(work.begin, active.prompt_rows); t < end; ++t) {
    if (request.prompt_logprobs && t + 1 >= request.logprobs_from && t + 1 < active.prompt) {
      const float* of = logits + int64_t{t - work.begin - first_logits} * vocabulary;
      const absl::Span<const float> row(of, vocabulary);
      const int32_t next = request.prompt[t + 1];
      active.summary.prompt_logprobs.push_back(LogprobOf(row, next));
      active.summary.prompt_greedy.push_back(row[next] == row[ArgMax(row)]);
    }
    if (request.embedding == HiddenPooling::kNone) continue;
    const float* hidden = output.hidden + int64_t{row + t - work.begin} * width;
    const float share = request.embedding == HiddenPooling::kMean ? 1.0f / static_cast<float>(active.prompt)
                        : t + 1 == active.prompt                  ? 1.0f
                                                                  : 0.0f;
    active.pooled.resize(width, 0.0f);
    for (int c = 0; c < width; ++c) active.pooled[c] += share * hidden[c];
  }
  active.prompt_rows = std::max(active.prompt_rows, end);
}

void Generator::FinishEmbeddings(const std::vector<ScheduledWork>& plan, WorkTeam::Session& session) {
  std::vector<Active*> pooled;
  for (const ScheduledWork& work : plan) {
    auto& active = *static_cast<Active*>(work.sequence->owner);
    if (!active.pooled.empty() && active.prompt_rows == active.prompt) pooled.push_back(&active);
  }
  if (pooled.empty()) return;
  if (dense_ == nullptr || dense_->empty()) {
    for (Active* active : pooled) active->summary.embedding = std::exchange(active->pooled, {});
    return;
  }
  const int count = static_cast<int>(pooled.size());
  float* to = dense_->Pooled(count, dense_workspace_);
  for (Active* active : pooled) {
    to = std::copy(active->pooled.begin(), active->pooled.end(), to);
    active->pooled.clear();
  }
  const float* embedding = dense_->Run(session, count, dense_workspace_);
  for (Active* active : pooled) {
    active->summary.embedding.assign(embedding, embedding + dense_->outputs());
    embedding += dense_->outputs();
  }
}

bool Generator::SampleToken(Active& active, float* logits) const {
  const absl::Span<float> row(logits, decoder_.config().vocab_size);
  GeneratedToken token{.index = active.generated() + static_cast<int>(active.tokens.size()),
                       .id = -1,
                       .text = "",
                       .logprob = 0,
                       .top = {}};
  // Sampling changes the logits, so the sum comes first.
  const double log_sum = active.request.logprobs >= 0 ? LogSumExp(row) : 0;
  if (active.request.logprobs > 0) token.top = TopLogprobs(row, log_sum, active.request.logprobs);
  const std::vector<float> kept =
      active.request.logprobs >= 0 ? std::vector<float>(row.begin(), row.end()) : std::vector<float>();
  const absl::Span<const int32_t> forbidden =
      token.index < active.request.min_tokens ? absl::MakeConstSpan(active.end_ids) : absl::Span<const int32_t>();
  if (!active.constraint.Apply(active.end_ids, decoder_.config().eos_ids, forbidden, row)) return false;
  token.id = active.sampler.Sample(token.index, row, forbidden);
  active.sampler.Accept(token.id);
  if (!active.IsEnd(token.id)) active.constraint.Accept(token.id);
  if (!kept.empty()) token.logprob = static_cast<float>(kept[token.id] - log_sum);
  // Here, where sequences do so beside each other.
  SetText(active, token);
  active.tokens.push_back(std::move(token));
  return !active.finish.has_value();
}

void Generator::SetText(Active& active, GeneratedToken& token) const {
  const bool ended = active.IsEnd(token.id);
  bool stopped = ended;
  if (!ended) {
    absl::StatusOr<std::string> text = active.detokenizer.Add(token.id);
    if (!text.ok()) {
      // A model may have ids that its tokenizer does not know: they are no text.
      text = std::string();
    }
    stopped = active.stops.Add(*text, token.text);
  }
  const bool full = token.index + 1 >= active.request.max_tokens || active.prompt + token.index + 1 >= context_;
  const bool matched = stopped && !ended;
  const bool over = active.constraint.over();
  if ((stopped || full || over) && !matched) {
    const absl::StatusOr<std::string> rest = active.detokenizer.Finish();
    const bool late = rest.ok() && active.stops.Add(*rest, token.text);
    if (!late) active.stops.Finish(token.text);
    stopped |= late;
  }
  token.last = stopped || full || over;
  if (!token.last) return;
  const bool failed = over && !stopped && !active.constraint.failure().ok();
  active.finish = failed ? FinishReason::kFailed : stopped || over ? FinishReason::kStop : FinishReason::kLength;
}

bool Generator::Deliver(Active& active) {
  for (size_t i = 0; i < active.tokens.size(); ++i) {
    GeneratedToken& token = active.tokens[i];
    // The row that gave it; that of the first one was never kept back.
    if (i > 0) active.wanted_rows.HandOn(static_cast<int>(active.sequence.ids.size()) - 1);
    active.sequence.ids.push_back(token.id);
    token.more = static_cast<int>(active.tokens.size() - i) - 1;
    active.listener->OnToken(token);
    BeginFollowers(active);
  }
  const bool none = active.tokens.empty();
  // The rows of all but the last token were computed.
  if (!none) scheduler_.Keep(&active.sequence, static_cast<int>(active.sequence.ids.size()) - 1);
  active.tokens.clear();
  if (active.finish.has_value()) {
    End(active, *active.finish,
        *active.finish == FinishReason::kFailed ? active.constraint.failure() : absl::OkStatus());
    return true;
  }
  if (active.constraint.over()) {  // nothing was left to follow
    const absl::Status failure = active.constraint.failure();
    End(active, failure.ok() ? FinishReason::kStop : FinishReason::kFailed, failure);
    return true;
  }
  if (!none || active.request.max_tokens > 0 || active.sequence.pending() > 0) return false;
  End(active, FinishReason::kLength);
  return true;
}

}  // namespace attnd
