#include "core/engine/generator.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/engine/generator_active.h"

namespace attnd {
namespace {

// How often paused sequences are looked at where nothing else runs.
constexpr std::chrono::milliseconds kPausedLook(50);

}  // namespace

Generator::Generator(const Decoder& decoder, const Tokenizer& tokenizer, WorkTeam& team,
                     const GeneratorOptions& options, const DenseModules* dense)
    : decoder_(decoder),
      dense_(dense),
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
  return scheduler_.Check(static_cast<int>(std::min<int64_t>(context_, tokens)), request.max_tokens > 0);
}

absl::Status Generator::Submit(GenerationRequest request, std::shared_ptr<GenerationListener> listener,
                               uint64_t client) {
  std::vector<Generation> one;
  one.push_back({std::move(request), std::move(listener), client});
  return SubmitAll(std::move(one), /*after_first=*/false);
}

absl::Status Generator::SubmitAll(std::vector<Generation> answers, bool after_first) {
  std::vector<std::unique_ptr<Active>> all;
  const auto count = static_cast<int64_t>(answers.size());
  if (count > options_.max_waiting) {
    return absl::InvalidArgumentError(
        absl::StrCat(count, " in one call, the queue takes at most ", options_.max_waiting));
  }
  int64_t tokens = 0;
  for (Generation& answer : answers) {
    auto active = std::make_unique<Active>(std::move(answer.request), std::move(answer.listener), tokenizer_,
                                           decoder_.config(), options_.lookup_tokens);
    active->sequence.client = answer.client;
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
    // What is longer than the limit may wait alone.
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
  for (auto& active : active_) active->Propose(context_);
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
  // First, so that who has an answer finds its last step counted.
  Report(sequences, batch.rows(), std::chrono::steady_clock::now() - begin);
  for (auto i = active_.begin(); i != active_.end();) i = Deliver(**i) ? active_.erase(i) : std::next(i);
  PublishStats();
  return true;
}

void Generator::Report(int sequences, int rows, std::chrono::nanoseconds time) {
  ++counts_.steps;
  PublishStats();
  const GeneratorStats before = std::exchange(reported_, counts_);
  if (!options_.observe) return;
  const auto drafted = static_cast<int>(counts_.drafted_tokens - before.drafted_tokens);
  const auto accepted = static_cast<int>(counts_.accepted_tokens - before.accepted_tokens);
  options_.observe({.sequences = sequences,
                    .tokens = rows - (drafted - accepted),
                    .begun = static_cast<int>(counts_.begun - before.begun),
                    .prompt_tokens = static_cast<int>(counts_.prompt_tokens - before.prompt_tokens),
                    .generated_tokens = static_cast<int>(counts_.generated_tokens - before.generated_tokens),
                    .drafted_tokens = drafted,
                    .accepted_tokens = accepted,
                    .prefix_queries = counts_.prefix_queries - before.prefix_queries,
                    .prefix_hits = counts_.prefix_hits - before.prefix_hits,
                    .preemptions = counts_.preemptions - before.preemptions,
                    .time = time});
}

DecoderBatch Generator::MakeBatch(const std::vector<ScheduledWork>& plan) {
  DecoderBatch batch;
  for (const ScheduledWork& work : plan) {
    auto& active = *static_cast<Active*>(work.sequence->owner);
    if (!std::exchange(active.started, true)) {
      ++counts_.begun;
      active.listener->OnStart();
    }
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
    if (work.drafts > 0) {
      active.rows.assign(1, work.sequence->ids.back());
      active.rows.insert(active.rows.end(), active.draft.begin(), active.draft.begin() + work.drafts);
      chunk.ids = active.rows;
    }
    chunk.hidden = request.embedding != HiddenPooling::kNone && in_prompt;
    active.wanted_rows.Keep(work.begin + work.count, work.drafts);
    const int end = work.begin + work.count, from = active.wanted_rows.From(work.begin, end);
    if (from < end) {
      chunk.sink = &active.wanted_rows;
      chunk.sink_from = from - work.begin;
    }
    batch.Add(chunk);
  }
  return batch;
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
