#include "core/engine/generation_scheduler.h"

#include <algorithm>
#include <cassert>

#include "absl/strings/str_cat.h"

namespace attnd {

absl::Status GenerationScheduler::Check(int tokens) const {
  if (KvCache::PagesFor(tokens) <= cache_.pages()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("max_tokens makes ", tokens,
                                                 " tokens of prompt and answer, the cache has room for ",
                                                 cache_.pages() * KvCache::kTokens));
}

void GenerationScheduler::Add(ScheduledSequence* sequence) {
  waiting_.push_back(sequence);
  waiting_tokens_ += sequence->pending();
}

int GenerationScheduler::running() const {
  return static_cast<int>(
      std::count_if(running_.begin(), running_.end(), [](const ScheduledSequence* s) { return !s->paused; }));
}

void GenerationScheduler::Remove(ScheduledSequence* sequence) {
  cache_.Release(sequence->pages);
  if (sequence->running) {
    std::erase(running_, sequence);
    sequence->running = false;
  } else if (std::erase(waiting_, sequence) > 0) {
    waiting_tokens_ -= sequence->pending();
  }
}

ScheduledSequence* GenerationScheduler::LastPaused() const {
  const auto last =
      std::find_if(running_.rbegin(), running_.rend(), [](const ScheduledSequence* s) { return s->paused; });
  return last == running_.rend() ? nullptr : *last;
}

void GenerationScheduler::Preempt(ScheduledSequence* sequence) {
  cache_.Release(sequence->pages);
  std::erase(running_, sequence);
  sequence->running = false;
  std::erase_if(plan_, [&](const ScheduledWork& work) { return work.sequence == sequence; });
  // Those admitted last go first, so the waiting ones stay in the order they came.
  waiting_.push_front(sequence);
  waiting_tokens_ += sequence->pending();
  ++sequence->preemptions;
  ++preemptions_;
}

// Pages for `tokens` tokens of a running sequence, taken from paused ones or those admitted after it where there are
// none. False: it was itself the last one, and is preempted.
bool GenerationScheduler::MakeRoom(ScheduledSequence* sequence, int tokens) {
  while (!cache_.Reserve(tokens, sequence->pages)) {
    ScheduledSequence* paused = LastPaused();
    ScheduledSequence* last = paused != nullptr ? paused : running_.back();
    Preempt(last);
    if (last == sequence) return false;
  }
  return true;
}

bool GenerationScheduler::Chunk(ScheduledSequence* sequence, int& budget) {
  const int count = std::min({sequence->pending(), budget, sequence->chunk_tokens});
  const int begin = sequence->pages.stored;
  if (!MakeRoom(sequence, begin + count)) return false;
  plan_.push_back({sequence, begin, count});
  budget -= count;
  return true;
}

void GenerationScheduler::PlanRunning(bool decoding, int& budget) {
  const std::vector<ScheduledSequence*> running = running_;  // preemption takes sequences out
  for (ScheduledSequence* sequence : running) {
    if (budget == 0) return;
    if (!sequence->running || sequence->paused) continue;
    assert(sequence->pending() > 0);
    if ((sequence->pending() == 1) == decoding) Chunk(sequence, budget);
  }
}

// Whether there are pages for a sequence that waits; then it has those that are known already.
bool GenerationScheduler::AdmitOne(ScheduledSequence* sequence) {
  const auto may_share = absl::MakeConstSpan(sequence->ids).subspan(0, static_cast<size_t>(sequence->share_tokens));
  const int shared = cache_.Share(may_share, sequence->pages);
  // The whole of it must fit now, and leave a page for each that runs: else it would soon be thrown out again.
  const int needed =
      KvCache::PagesFor(static_cast<int>(sequence->ids.size()) + 1) - static_cast<int>(sequence->pages.table.size());
  for (const int reserve = running(); needed + reserve > cache_.available();) {
    ScheduledSequence* paused = LastPaused();
    if (paused == nullptr) {
      cache_.Release(sequence->pages);
      return false;
    }
    Preempt(paused);
  }
  if (sequence->preemptions == 0) sequence->shared_tokens = shared;
  prefix_queries_ += static_cast<int64_t>(may_share.size());
  prefix_hits_ += shared;
  return true;
}

void GenerationScheduler::Admit(int& budget) {
  int admitted = running();
  if (budget == 0 || admitted >= options_.max_sequences) return;
  std::vector<ScheduledSequence*> waiting;
  for (ScheduledSequence* sequence : waiting_) {
    if (!sequence->paused) waiting.push_back(sequence);
  }
  for (ScheduledSequence* sequence : waiting) {
    if (budget == 0 || admitted >= options_.max_sequences) return;
    const int64_t tokens = sequence->pending();
    if (!AdmitOne(sequence)) return;
    std::erase(waiting_, sequence);
    waiting_tokens_ -= tokens;
    running_.push_back(sequence);
    sequence->running = true;
    ++admitted;
    if (!Chunk(sequence, budget)) return;
  }
}

const std::vector<ScheduledWork>& GenerationScheduler::Plan() {
  plan_.clear();
  int budget = options_.step_tokens;
  PlanRunning(/*decoding=*/true, budget);
  if (!plan_.empty()) budget = std::min(budget, options_.prompt_tokens_beside_decoding);
  PlanRunning(/*decoding=*/false, budget);
  Admit(budget);
  return plan_;
}

void GenerationScheduler::Done() {
  for (const ScheduledWork& work : plan_) {
    cache_.Store(absl::MakeConstSpan(work.sequence->ids).subspan(0, work.begin + work.count), work.sequence->pages);
  }
  plan_.clear();
}

}  // namespace attnd
