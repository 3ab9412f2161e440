#include "core/engine/generator.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/engine/constraint.h"
#include "core/text/detokenizer.h"

namespace attnd {
namespace {

// Rows of a step whose logits are all wanted: [rows, vocab] floats are not to take hundreds of megabytes.
constexpr int kLogitRows = 64;
// How often paused sequences are looked at where nothing else runs.
constexpr std::chrono::milliseconds kPausedLook(50);

// Hands on only the rows that somebody looks at: some of the prompt's, and those that give tokens of the answer.
class WantedRows : public AttentionSink {
 public:
  explicit WantedRows(const GenerationRequest& request)
      : sink_(request.attention),
        of_prompt_(request.prompt_attention),
        answer_(request.max_tokens > 0 ? static_cast<int>(request.prompt.size()) - 1
                                       : std::numeric_limits<int>::max()) {}

  // Whether some of rows [begin, end) are handed on.
  bool Any(int begin, int end) const {
    return sink_ != nullptr && (end > answer_ || (begin < of_prompt_.end && end > of_prompt_.begin));
  }
  bool Wants(int layer, int head) const override { return sink_->Wants(layer, head); }
  void Tile(const AttentionTile& tile) override {
    const int end = tile.query_begin + tile.query_count;
    Part(tile, of_prompt_.begin, std::min(of_prompt_.end, end));
    Part(tile, std::max(answer_, of_prompt_.end), end);
  }

 private:
  void Part(const AttentionTile& tile, int begin, int end) {
    begin = std::max(begin, tile.query_begin);
    if (begin >= end) return;
    const int skipped = begin - tile.query_begin;
    AttentionTile part = tile;
    part.query_begin = begin;
    part.query_count = end - begin;
    part.probabilities += int64_t{skipped} * tile.stride;
    if (part.log_sum_exp != nullptr) part.log_sum_exp += skipped;
    sink_->Tile(part);
  }

  AttentionSink* const sink_;
  const TokenSpan of_prompt_;
  const int answer_;  // first row that gives a token of the answer
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
        constraint(request.grammar),
        prompt(static_cast<int>(request.prompt.size())),
        wanted_rows(request) {
    sequence.ids = request.prompt;
    sequence.owner = this;
    // Rows that somebody looks at must be computed, not taken over.
    if (request.prompt_attention.size() > 0) sequence.share_tokens = request.prompt_attention.begin;
    if (request.hidden == HiddenPooling::kMean) sequence.share_tokens = 0;
    if (request.prompt_logprobs) sequence.share_tokens = std::min(sequence.share_tokens, request.logprobs_from);
    if (request.prompt_logprobs) sequence.chunk_tokens = kLogitRows;
  }
  // Answers to the same prompt, which begin when this one has read it.
  std::vector<std::unique_ptr<Active>> followers;

  int generated() const { return static_cast<int>(sequence.ids.size()) - prompt; }
  bool IsEnd(int32_t id) const { return std::find(end_ids.begin(), end_ids.end(), id) != end_ids.end(); }

  const GenerationRequest request;
  const std::shared_ptr<GenerationListener> listener;
  ScheduledSequence sequence;
  Sampler sampler;
  Detokenizer detokenizer;
  StopMatcher stops;
  Constraint constraint;
  const int prompt;  // tokens
  WantedRows wanted_rows;
  std::vector<int32_t> end_ids;         // model's and request's
  std::optional<GeneratedToken> token;  // sampled in this step
  int prompt_rows = 0;                  // whose outputs were taken: a sequence computed again gives them twice
  bool started = false;
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
  EndAll();
}

absl::Status Generator::Check(const GenerationRequest& request) const {
  if (absl::Status status = CheckGeneration(request, decoder_.config()); !status.ok()) return status;
  const int64_t tokens = static_cast<int64_t>(request.prompt.size()) + request.max_tokens;
  return scheduler_.Check(static_cast<int>(std::min<int64_t>(context_, tokens)));
}

absl::Status Generator::Submit(GenerationRequest request, std::shared_ptr<GenerationListener> listener) {
  std::vector<Generation> one;
  one.push_back({std::move(request), std::move(listener)});
  return SubmitAll(std::move(one), /*after_first=*/false);
}

absl::Status Generator::SubmitAll(std::vector<Generation> answers, bool after_first) {
  std::vector<std::unique_ptr<Active>> all;
  const auto count = static_cast<int64_t>(answers.size());
  int64_t tokens = 0;
  for (Generation& answer : answers) {
    auto active = std::make_unique<Active>(std::move(answer.request), std::move(answer.listener), tokenizer_);
    active->end_ids = active->request.stop_ids;
    if (!active->request.ignore_eos) {
      const std::vector<int32_t>& eos = decoder_.config().eos_ids;
      active->end_ids.insert(active->end_ids.end(), eos.begin(), eos.end());
    }
    tokens += active->prompt;
    if (after_first && !all.empty()) {
      all[0]->followers.push_back(std::move(active));
    } else {
      all.push_back(std::move(active));
    }
  }
  {
    const std::lock_guard lock(mutex_);
    if (stop_) return absl::UnavailableError("the model is being stopped");
    const int64_t waiting = stats_.waiting + submitted_count_;
    const int64_t waiting_tokens = stats_.waiting_tokens + submitted_tokens_;
    if (waiting + count > options_.max_waiting) {
      return absl::ResourceExhaustedError(
          absl::StrCat(waiting, " answers wait already, the limit is ", options_.max_waiting));
    }
    // One that is longer than the limit may wait alone.
    if (waiting > 0 && waiting_tokens + tokens > options_.max_waiting_tokens) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "prompts of ", waiting_tokens, " tokens wait already, the limit is ", options_.max_waiting_tokens));
    }
    for (auto& active : all) submitted_.push_back(std::move(active));
    submitted_count_ += count;
    submitted_tokens_ += tokens;
  }
  submitted_change_.notify_one();
  return absl::OkStatus();
}

void Generator::Run() {
  while (!stop_) {
    if (Step()) continue;
    std::unique_lock lock(mutex_);
    const auto changed = [&] { return stop_ || woken_ || !submitted_.empty(); };
    if (active_.empty()) {
      submitted_change_.wait(lock, changed);
    } else {  // all are paused: their deadlines pass without a word
      submitted_change_.wait_for(lock, kPausedLook, changed);
    }
  }
  EndAll();
  PublishStats();
}

void Generator::Wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  submitted_change_.notify_one();
}

void Generator::EndAll() {
  TakeSubmitted();
  while (!active_.empty()) {  // an end may bring followers
    End(*active_.front(), FinishReason::kCancelled);
    active_.pop_front();
  }
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
    woken_ = false;
    taken.swap(submitted_);
    stats_.waiting += static_cast<int>(std::exchange(submitted_count_, 0));
    stats_.waiting_tokens += std::exchange(submitted_tokens_, 0);
  }
  for (auto& active : taken) {
    for (const auto& follower : active->followers) {
      ++followers_;
      follower_tokens_ += follower->prompt;
    }
    Begin(std::move(active));
  }
}

void Generator::Begin(std::unique_ptr<Active> active) {
  scheduler_.Add(&active->sequence);
  active_.push_back(std::move(active));
}

void Generator::BeginFollowers(Active& active) {
  for (auto& follower : active.followers) {
    --followers_;
    follower_tokens_ -= follower->prompt;
    Begin(std::move(follower));
  }
  active.followers.clear();
}

void Generator::AskListeners() {
  for (auto i = active_.begin(); i != active_.end();) {
    if ((*i)->listener->Wanted()) {
      (*i)->sequence.paused = !(*i)->listener->Ready();
      ++i;
      continue;
    }
    End(**i, FinishReason::kCancelled);
    i = active_.erase(i);
  }
}

bool Generator::Step() {
  TakeSubmitted();
  AskListeners();
  const std::vector<ScheduledWork>& plan = scheduler_.Plan();
  if (plan.empty()) {
    PublishStats();
    return false;
  }
  const auto begin = std::chrono::steady_clock::now();
  WorkTeam::Session session(team_);
  const DecoderBatch batch = MakeBatch(plan);
  const auto go_on = [&] { return !stop_.load(std::memory_order_relaxed); };
  auto output = decoder_.Forward(batch, pages_, session, workspace_, go_on);
  if (!output.ok()) return false;  // stopped: Run ends all
  UseOutput(plan, batch, *output, session);
  const int sequences = static_cast<int>(plan.size());
  scheduler_.Done();
  for (auto i = active_.begin(); i != active_.end();) i = Deliver(**i) ? active_.erase(i) : std::next(i);
  Report(sequences, batch.rows(), std::chrono::steady_clock::now() - begin);
  return true;
}

void Generator::Report(int sequences, int tokens, std::chrono::nanoseconds time) {
  ++counts_.steps;
  PublishStats();
  const GeneratorStats before = std::exchange(reported_, counts_);
  if (!options_.observe) return;
  options_.observe({.sequences = sequences,
                    .tokens = tokens,
                    .prompt_tokens = static_cast<int>(counts_.prompt_tokens - before.prompt_tokens),
                    .generated_tokens = static_cast<int>(counts_.generated_tokens - before.generated_tokens),
                    .prefix_queries = counts_.prefix_queries - before.prefix_queries,
                    .prefix_hits = counts_.prefix_hits - before.prefix_hits,
                    .preemptions = counts_.preemptions - before.preemptions,
                    .time = time});
}

DecoderBatch Generator::MakeBatch(const std::vector<ScheduledWork>& plan) {
  DecoderBatch batch;
  for (const ScheduledWork& work : plan) {
    auto& active = *static_cast<Active*>(work.sequence->owner);
    if (!std::exchange(active.started, true)) active.listener->OnStart();
    const GenerationRequest& request = active.request;
    const bool last = work.begin + work.count == static_cast<int>(work.sequence->ids.size());
    const bool in_prompt = work.begin < active.prompt;
    DecoderChunk chunk = {.ids = absl::MakeConstSpan(work.sequence->ids).subspan(work.begin, work.count),
                          .past = work.begin,
                          .table = work.sequence->pages.table,
                          .logits_from = last && request.max_tokens > 0 ? work.count - 1 : work.count};
    if (request.prompt_logprobs && in_prompt) {
      chunk.logits_from = std::min(chunk.logits_from, std::max(0, request.logprobs_from - 1 - work.begin));
    }
    chunk.hidden = request.hidden != HiddenPooling::kNone && in_prompt;
    if (active.wanted_rows.Any(work.begin, work.begin + work.count)) chunk.sink = &active.wanted_rows;
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
    TakePromptOutput(work, batch.begins[i], batch.chunks[i].logits_from, logits, output, active);
    const bool last = work.begin + work.count == static_cast<int>(work.sequence->ids.size());
    if (!last || active.request.max_tokens == 0) return;
    SampleToken(active, logits + (work.count - 1 - batch.chunks[i].logits_from) * vocabulary);
  });
  for (const ScheduledWork& work : plan) {
    const auto& active = *static_cast<const Active*>(work.sequence->owner);
    counts_.prompt_tokens += std::clamp(active.prompt - work.begin, 0, work.count);
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
      active.summary.prompt_greedy.push_back(row[next] == *std::max_element(row.begin(), row.end()));
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
  if (!active.constraint.Apply(active.end_ids, decoder_.config().eos_ids, forbidden, row)) return;
  token.id = active.sampler.Sample(token.index, row, forbidden);
  // Here, where sequences do so beside each other.
  if (!active.IsEnd(token.id)) active.constraint.Accept(token.id);
  if (!kept.empty()) token.logprob = static_cast<float>(kept[token.id] - log_sum);
  active.token = std::move(token);
}

bool Generator::Deliver(Active& active) {
  if (!active.token.has_value()) {
    if (active.constraint.over()) {
      EndConstrained(active);
      return true;
    }
    if (active.request.max_tokens > 0 || active.sequence.pending() > 0) return false;
    End(active, FinishReason::kLength);
    return true;
  }
  GeneratedToken token = *std::move(active.token);
  active.token.reset();
  active.sequence.ids.push_back(token.id);
  active.sampler.Accept(token.id);
  ++counts_.generated_tokens;
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
  const bool full =
      active.generated() >= active.request.max_tokens || static_cast<int>(active.sequence.ids.size()) >= context_;
  const bool matched = stopped && !ended;
  const bool over = active.constraint.over();
  if ((stopped || full || over) && !matched) {
    const absl::StatusOr<std::string> rest = active.detokenizer.Finish();
    const bool late = rest.ok() && active.stops.Add(*rest, token.text);
    if (!late) active.stops.Finish(token.text);
    stopped |= late;
  }
  token.last = stopped || full || over;
  active.listener->OnToken(token);
  BeginFollowers(active);
  if (!stopped && !full && !over) return false;
  if (over && !stopped) {
    EndConstrained(active);
  } else {
    End(active, stopped ? FinishReason::kStop : FinishReason::kLength);
  }
  return true;
}

void Generator::EndConstrained(Active& active) {
  const absl::Status failure = active.constraint.failure();
  End(active, failure.ok() ? FinishReason::kStop : FinishReason::kFailed, failure);
}

void Generator::End(Active& active, FinishReason reason, absl::Status status) {
  scheduler_.Remove(&active.sequence);
  active.summary.reason = reason;
  active.summary.status = std::move(status);
  active.summary.prompt_tokens = active.prompt;
  active.summary.shared_tokens = std::min(active.sequence.shared_tokens, active.prompt);
  active.summary.generated_tokens = active.generated();
  active.summary.preemptions = active.sequence.preemptions;
  BeginFollowers(active);
  active.listener->OnEnd(std::move(active.summary));
}

void Generator::PublishStats() {
  counts_.prefix_queries = scheduler_.prefix_queries();
  counts_.prefix_hits = scheduler_.prefix_hits();
  counts_.preemptions = scheduler_.preemptions();
  counts_.running = scheduler_.running();
  counts_.waiting = scheduler_.waiting() + static_cast<int>(followers_);
  counts_.waiting_tokens = scheduler_.waiting_tokens() + follower_tokens_;
  counts_.pages = cache_.pages();
  counts_.pages_used = cache_.used();
  const std::lock_guard lock(mutex_);
  stats_ = counts_;
}

GeneratorStats Generator::Stats() const {
  const std::lock_guard lock(mutex_);
  GeneratorStats stats = stats_;
  stats.waiting += static_cast<int>(submitted_count_);
  stats.waiting_tokens += submitted_tokens_;
  return stats;
}

}  // namespace attnd
