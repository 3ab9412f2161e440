#include "core/engine/generation_scheduler.h"

#include <algorithm>
#include <cassert>

#include "absl/strings/str_cat.h"

namespace attnd {

absl::Status GenerationScheduler::Check(int tokens) const {
  if (KvCache::PagesFor(tokens) <= cache_.pages()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(tokens, " tokens of prompt and answer, the cache has room for ", cache_.pages() * KvCache::kTokens));
}

void GenerationScheduler::Remove(ScheduledSequence* sequence) {
  cache_.Release(sequence->pages);
  std::erase(running_, sequence);
  std::erase(waiting_, sequence);
}

void GenerationScheduler::Preempt(ScheduledSequence* sequence) {
  cache_.Release(sequence->pages);
  std::erase(running_, sequence);
  std::erase_if(plan_, [&](const ScheduledWork& work) { return work.sequence == sequence; });
  // Those admitted last go first, so the waiting ones stay in the order they came.
  waiting_.push_front(sequence);
  ++sequence->preemptions;
  ++preemptions_;
}

// Pages for `tokens` tokens of a running sequence, taken from those admitted after it where there are none. False: it
// was itself the last one, and is preempted.
bool GenerationScheduler::MakeRoom(ScheduledSequence* sequence, int tokens) {
  while (!cache_.Reserve(tokens, sequence->pages)) {
    ScheduledSequence* last = running_.back();
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
  // By index: preemption takes sequences from the end.
  for (size_t i = 0; i < running_.size() && budget > 0; ++i) {
    ScheduledSequence* sequence = running_[i];
    assert(sequence->pending() > 0);
    if ((sequence->pending() == 1) == decoding) Chunk(sequence, budget);
  }
}

void GenerationScheduler::Admit(int& budget) {
  while (!waiting_.empty() && budget > 0 && running() < options_.max_sequences) {
    ScheduledSequence* sequence = waiting_.front();
    const bool first_time = sequence->preemptions == 0;
    const int shared = sequence->share ? cache_.Share(sequence->ids, sequence->pages) : 0;
    // The whole of it must fit now, and leave a page for each that runs: else it would soon be thrown out again.
    const int needed =
        KvCache::PagesFor(static_cast<int>(sequence->ids.size()) + 1) - static_cast<int>(sequence->pages.table.size());
    const int reserve = running_.empty() ? 0 : running();
    if (needed + reserve > cache_.available()) {
      // Alone it may run with what there is: Check said that it fits.
      if (!running_.empty() || needed > cache_.available()) {
        cache_.Release(sequence->pages);
        return;
      }
    }
    if (first_time) sequence->shared_tokens = shared;
    waiting_.pop_front();
    running_.push_back(sequence);
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
