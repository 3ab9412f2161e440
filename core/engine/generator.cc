#include "core/engine/generator.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text/detokenizer.h"

namespace attnd {
namespace {

// Rows of a step whose logits are all wanted: [rows, vocab] floats are not to take hundreds of megabytes.
constexpr int kLogitRows = 64;

// Hands on only the rows that give tokens of the answer.
class AnswerRows : public AttentionSink {
 public:
  void Set(AttentionSink* sink, int first_row) { sink_ = sink, first_row_ = first_row; }
  bool Wants(int layer, int head) const override { return sink_->Wants(layer, head); }
  void Tile(const AttentionTile& tile) override {
    const int skipped = std::max(0, first_row_ - tile.query_begin);
    if (skipped >= tile.query_count) return;
    AttentionTile rest = tile;
    rest.query_begin += skipped;
    rest.query_count -= skipped;
    rest.probabilities += int64_t{skipped} * tile.stride;
    if (rest.log_sum_exp != nullptr) rest.log_sum_exp += skipped;
    sink_->Tile(rest);
  }

 private:
  AttentionSink* sink_ = nullptr;
  int first_row_ = 0;
};

}  // namespace

// One generation on its way.
struct Generator::Active {
  Active(GenerationRequest asked, std::shared_ptr<GenerationListener> to, const Tokenizer& tokenizer)
      : request(std::move(asked)),
        listener(std::move(to)),
        sampler(request.sampling, request.prompt),
        detokenizer(tokenizer, request.prompt),
        stops(request.stop_strings),
        prompt(static_cast<int>(request.prompt.size())) {
    sequence.ids = request.prompt;
    sequence.owner = this;
    // Rows that somebody looks at must be computed, not taken over.
    sequence.share = !request.prompt_logprobs && !request.prompt_attention && request.hidden == HiddenPooling::kNone;
    if (request.prompt_logprobs) sequence.chunk_tokens = kLogitRows;
  }
  int generated() const { return static_cast<int>(sequence.ids.size()) - prompt; }

  const GenerationRequest request;
  const std::shared_ptr<GenerationListener> listener;
  ScheduledSequence sequence;
  Sampler sampler;
  Detokenizer detokenizer;
  StopMatcher stops;
  const int prompt;  // tokens
  AnswerRows answer_rows;
  std::vector<int32_t> end_ids;         // model's and request's
  std::optional<GeneratedToken> token;  // sampled in this step
  int prompt_rows = 0;                  // whose outputs were taken: a sequence computed again gives them twice
  GenerationSummary summary;
};

Generator::Generator(const Decoder& decoder, const Tokenizer& tokenizer, WorkTeam& team,
                     const GeneratorOptions& options)
    : decoder_(decoder),
      tokenizer_(tokenizer),
      team_(team),
      options_(options),
      context_(decoder.config().max_tokens),
      pages_(decoder.kv_shape(options.kv_type),
             static_cast<int>(std::clamp<int64_t>(
                 options.kv_bytes / KvPages::BytesPerPage(decoder.kv_shape(options.kv_type)), 1, 1 << 24))),
      cache_(pages_.pages()),
      scheduler_(options.scheduler, cache_) {
  PublishStats();
}

Generator::~Generator() {
  Stop();
  for (auto& active : active_) End(*active, FinishReason::kCancelled);
  for (auto& active : submitted_) End(*active, FinishReason::kCancelled);
}

absl::Status Generator::Check(const GenerationRequest& request) const {
  if (absl::Status status = CheckGeneration(request, decoder_.config()); !status.ok()) return status;
  const int64_t tokens = static_cast<int64_t>(request.prompt.size()) + request.max_tokens;
  return scheduler_.Check(static_cast<int>(std::min<int64_t>(context_, tokens)));
}

absl::Status Generator::Submit(GenerationRequest request, std::shared_ptr<GenerationListener> listener) {
  auto active = std::make_unique<Active>(std::move(request), std::move(listener), tokenizer_);
  active->end_ids = active->request.stop_ids;
  if (!active->request.ignore_eos) {
    const std::vector<int32_t>& eos = decoder_.config().eos_ids;
    active->end_ids.insert(active->end_ids.end(), eos.begin(), eos.end());
  }
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return absl::UnavailableError("the model is being stopped");
    if (stats_.waiting + static_cast<int>(submitted_.size()) >= options_.max_waiting) {
      return absl::ResourceExhaustedError(absl::StrCat(options_.max_waiting, " generations wait already"));
    }
    submitted_.push_back(std::move(active));
  }
  submitted_change_.notify_one();
  return absl::OkStatus();
}

void Generator::Run() {
  while (!stop_) {
    if (Step()) continue;
    std::unique_lock lock(mutex_);
    submitted_change_.wait(lock, [&] { return stop_ || !submitted_.empty(); });
  }
  TakeSubmitted();
  while (!active_.empty()) {
    End(*active_.front(), FinishReason::kCancelled);
    active_.pop_front();
  }
  PublishStats();
}

void Generator::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  submitted_change_.notify_all();
}

void Generator::TakeSubmitted() {
  std::vector<std::unique_ptr<Active>> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(submitted_);
    stats_.waiting += static_cast<int>(taken.size());
  }
  for (auto& active : taken) {
    scheduler_.Add(&active->sequence);
    active_.push_back(std::move(active));
  }
}

void Generator::DropUnwanted() {
  for (auto i = active_.begin(); i != active_.end();) {
    if ((*i)->listener->Wanted()) {
      ++i;
      continue;
    }
    End(**i, FinishReason::kCancelled);
    i = active_.erase(i);
  }
}

bool Generator::Step() {
  TakeSubmitted();
  DropUnwanted();
  const std::vector<ScheduledWork>& plan = scheduler_.Plan();
  if (plan.empty()) {
    PublishStats();
    return false;
  }
  WorkTeam::Session session(team_);
  const DecoderBatch batch = MakeBatch(plan);
  const auto go_on = [&] { return !stop_.load(std::memory_order_relaxed); };
  auto output = decoder_.Forward(batch, pages_, session, workspace_, go_on);
  if (!output.ok()) return false;  // stopped: Run ends all
  UseOutput(plan, batch, *output, session);
  ++counts_.steps;
  scheduler_.Done();
  for (auto i = active_.begin(); i != active_.end();) i = Deliver(**i) ? active_.erase(i) : std::next(i);
  PublishStats();
  return true;
}

DecoderBatch Generator::MakeBatch(const std::vector<ScheduledWork>& plan) {
  DecoderBatch batch;
  for (const ScheduledWork& work : plan) {
    auto& active = *static_cast<Active*>(work.sequence->owner);
    const GenerationRequest& request = active.request;
    const bool last = work.begin + work.count == static_cast<int>(work.sequence->ids.size());
    const bool in_prompt = work.begin < active.prompt;
    DecoderChunk chunk = {.ids = absl::MakeConstSpan(work.sequence->ids).subspan(work.begin, work.count),
                          .past = work.begin,
                          .table = work.sequence->pages.table,
                          .logits_from = last ? work.count - 1 : work.count};
    if (request.prompt_logprobs && in_prompt) chunk.logits_from = 0;
    chunk.hidden = request.hidden != HiddenPooling::kNone && in_prompt;
    if (request.attention != nullptr) {
      active.answer_rows.Set(request.attention, request.prompt_attention ? 0 : active.prompt - 1);
      // Nobody looks at rows of a prompt before its last.
      if (request.prompt_attention || work.begin + work.count >= active.prompt) chunk.sink = &active.answer_rows;
    }
    batch.Add(chunk);
  }
  return batch;
}

void Generator::UseOutput(const std::vector<ScheduledWork>& plan, const DecoderBatch& batch,
                          const Decoder::Output& output, WorkTeam::Session& session) {
  const int64_t vocabulary = decoder_.config().vocab_size;
  std::vector<int64_t> logit_rows(plan.size());
  for (size_t i = 0, row = 0; i < plan.size(); ++i) {
    logit_rows[i] = static_cast<int64_t>(row);
    row += plan[i].count - batch.chunks[i].logits_from;
  }
  session.ParallelFor(static_cast<int64_t>(plan.size()), [&](int64_t i, int) {
    const ScheduledWork& work = plan[i];
    auto& active = *static_cast<Active*>(work.sequence->owner);
    float* logits = const_cast<float*>(output.logits) + logit_rows[i] * vocabulary;  // the workspace is ours
    TakePromptOutput(work, batch.begins[i], logits, output, active);
    const bool last = work.begin + work.count == static_cast<int>(work.sequence->ids.size());
    if (!last || active.request.max_tokens == 0) return;
    SampleToken(active, logits + (work.count - 1 - batch.chunks[i].logits_from) * vocabulary);
  });
  for (const ScheduledWork& work : plan) {
    const auto& active = *static_cast<const Active*>(work.sequence->owner);
    counts_.prompt_tokens += std::clamp(active.prompt - work.begin, 0, work.count);
  }
}

void Generator::TakePromptOutput(const ScheduledWork& work, int row, const float* logits, const Decoder::Output& output,
                                 Active& active) const {
  const GenerationRequest& request = active.request;
  const int vocabulary = decoder_.config().vocab_size, width = decoder_.config().hidden_size;
  const int end = std::min(work.begin + work.count, active.prompt);
  for (int t = std::max(work.begin, active.prompt_rows); t < end; ++t) {
    if (request.prompt_logprobs && t + 1 < active.prompt) {
      const float* of = logits + int64_t{t - work.begin} * vocabulary;
      active.summary.prompt_logprobs.push_back(
          LogprobOf(absl::MakeConstSpan(of, vocabulary), active.request.prompt[t + 1]));
    }
    if (request.hidden == HiddenPooling::kNone) continue;
    const float* hidden = output.hidden + int64_t{row + t - work.begin} * width;
    const float share = request.hidden == HiddenPooling::kMean ? 1.0f / static_cast<float>(active.prompt)
                        : t + 1 == active.prompt               ? 1.0f
                                                               : 0.0f;
    active.summary.hidden.resize(width, 0.0f);
    for (int c = 0; c < width; ++c) active.summary.hidden[c] += share * hidden[c];
  }
  active.prompt_rows = std::max(active.prompt_rows, end);
}

void Generator::SampleToken(Active& active, float* logits) const {
  const absl::Span<float> row(logits, decoder_.config().vocab_size);
  GeneratedToken token{.index = active.generated(), .id = -1, .text = "", .logprob = 0, .top = {}};
  if (active.request.logprobs > 0) token.top = TopLogprobs(row, active.request.logprobs);
  // Sampling changes the logits, so the sum comes first.
  const double log_sum = active.request.logprobs >= 0 ? LogSumOf(row) : 0;
  const std::vector<float> kept =
      active.request.logprobs >= 0 ? std::vector<float>(row.begin(), row.end()) : std::vector<float>();
  const absl::Span<const int32_t> forbidden =
      token.index < active.request.min_tokens ? absl::MakeConstSpan(active.end_ids) : absl::Span<const int32_t>();
  token.id = active.sampler.Sample(token.index, row, forbidden);
  if (!kept.empty()) token.logprob = static_cast<float>(kept[token.id] - log_sum);
  active.token = std::move(token);
}

bool Generator::Deliver(Active& active) {
  if (!active.token.has_value()) {
    if (active.request.max_tokens > 0 || active.sequence.pending() > 0) return false;
    End(active, FinishReason::kLength);
    return true;
  }
  GeneratedToken token = *std::move(active.token);
  active.token.reset();
  active.sequence.ids.push_back(token.id);
  active.sampler.Accept(token.id);
  ++counts_.generated_tokens;
  const bool ended = std::find(active.end_ids.begin(), active.end_ids.end(), token.id) != active.end_ids.end();
  bool stopped = ended;
  if (!ended) {
    absl::StatusOr<std::string> text = active.detokenizer.Add(token.id);
    if (!text.ok()) {
      // A model may have ids that its tokenizer does not know: they are no text.
      text = std::string();
    }
    stopped = active.stops.Add(*text, token.text);
  }
  const bool full =
      active.generated() >= active.request.max_tokens || static_cast<int>(active.sequence.ids.size()) >= context_;
  const bool matched = stopped && !ended;
  if ((stopped || full) && !matched) {
    const absl::StatusOr<std::string> rest = active.detokenizer.Finish();
    const bool late = rest.ok() && active.stops.Add(*rest, token.text);
    if (!late) active.stops.Finish(token.text);
    stopped |= late;
  }
  active.listener->OnToken(token);
  if (!stopped && !full) return false;
  End(active, stopped ? FinishReason::kStop : FinishReason::kLength);
  return true;
}

void Generator::End(Active& active, FinishReason reason, absl::Status status) {
  scheduler_.Remove(&active.sequence);
  active.summary.reason = reason;
  active.summary.status = std::move(status);
  active.summary.prompt_tokens = active.prompt;
  active.summary.shared_tokens = std::min(active.sequence.shared_tokens, active.prompt);
  active.summary.generated_tokens = active.generated();
  active.summary.preemptions = active.sequence.preemptions;
  active.listener->OnEnd(std::move(active.summary));
}

void Generator::PublishStats() {
  counts_.shared_tokens = cache_.shared_tokens();
  counts_.preemptions = scheduler_.preemptions();
  counts_.running = scheduler_.running();
  counts_.waiting = scheduler_.waiting();
  counts_.pages = cache_.pages();
  counts_.pages_used = cache_.used();
  const std::lock_guard lock(mutex_);
  stats_ = counts_;
}

GeneratorStats Generator::Stats() const {
  const std::lock_guard lock(mutex_);
  GeneratorStats stats = stats_;
  stats.waiting += static_cast<int>(submitted_.size());
  return stats;
}

}  // namespace attnd
