#include "core/engine/generation_scheduler.h"

#include <algorithm>
#include <cassert>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

// For its tokens and, where it answers, the next one. Never more than Check was asked about.
int WholePages(const ScheduledSequence& sequence) {
  return KvCache::PagesFor(static_cast<int>(sequence.ids.size()) + (sequence.answers ? 1 : 0));
}

}  // namespace

absl::Status GenerationScheduler::Check(int tokens, bool answers) const {
  if (KvCache::PagesFor(tokens) <= cache_.pages()) return absl::OkStatus();
  const std::string has = answers ? absl::StrCat("max_tokens makes ", tokens, " tokens of prompt and answer")
                                  : absl::StrCat("prompt has ", tokens, " tokens");
  return absl::InvalidArgumentError(absl::StrCat(has, ", the cache has room for ", cache_.pages() * KvCache::kTokens));
}

void GenerationScheduler::Add(ScheduledSequence* sequence) {
  waiting_.Add(sequence->client, sequence, sequence->pending());
}

int GenerationScheduler::running() const {
  return static_cast<int>(
      std::count_if(running_.begin(), running_.end(), [](const ScheduledSequence* s) { return !s->paused; }));
}

int GenerationScheduler::Running(uint64_t client) const {
  return static_cast<int>(std::count_if(running_.begin(), running_.end(), [client](const ScheduledSequence* s) {
    return !s->paused && s->client == client;
  }));
}

void GenerationScheduler::Remove(ScheduledSequence* sequence) {
  cache_.Release(sequence->pages);
  if (sequence->running) {
    std::erase(running_, sequence);
    sequence->running = false;
  } else {
    waiting_.TakeOut(
        sequence->client, [sequence](const ScheduledSequence& s) { return &s == sequence; }, [](ScheduledSequence*) {});
  }
}

ScheduledSequence* GenerationScheduler::LastPaused() const {
  const auto last =
      std::find_if(running_.rbegin(), running_.rend(), [](const ScheduledSequence* s) { return s->paused; });
  return last == running_.rend() ? nullptr : *last;
}

ScheduledSequence* GenerationScheduler::Yielding() const {
  absl::flat_hash_map<uint64_t, int> counts;
  for (const ScheduledSequence* sequence : running_) {
    if (!sequence->paused) ++counts[sequence->client];
  }
  ScheduledSequence* last = nullptr;
  bool first = true;  // which stays, whatever its client has
  for (ScheduledSequence* sequence : running_) {
    if (sequence->paused || std::exchange(first, false)) continue;
    if (last == nullptr || counts[sequence->client] >= counts[last->client]) last = sequence;
  }
  return last;
}

void GenerationScheduler::Preempt(ScheduledSequence* sequence) {
  cache_.Release(sequence->pages);
  std::erase(running_, sequence);
  sequence->running = false;
  std::erase_if(plan_, [&](const ScheduledWork& work) { return work.sequence == sequence; });
  // The last ones of a client go first, so that those that wait stay in the order they came.
  waiting_.AddFirst(sequence->client, sequence, sequence->pending());
  ++sequence->preemptions;
  ++preemptions_;
}

// Pages for `tokens` tokens of a running sequence, taken from others where there are none. False: it was itself the one
// to yield, and is preempted.
bool GenerationScheduler::MakeRoom(ScheduledSequence* sequence, int tokens) {
  while (!cache_.Reserve(tokens, sequence->pages)) {
    ScheduledSequence* other = LastPaused();
    if (other == nullptr) other = Yielding();
    if (other == nullptr) other = sequence;  // alone, with more tokens than Check allows
    Preempt(other);
    if (other == sequence) return false;
  }
  return true;
}

ScheduledWork* GenerationScheduler::Planned(const ScheduledSequence* sequence) {
  const auto found =
      std::find_if(plan_.begin(), plan_.end(), [sequence](const ScheduledWork& w) { return w.sequence == sequence; });
  return found == plan_.end() ? nullptr : &*found;
}

// Up to `most` rows more of a sequence, which may have some in the plan already. False: it was preempted.
bool GenerationScheduler::Chunk(ScheduledSequence* sequence, int most, int& budget) {
  const int planned = Planned(sequence) == nullptr ? 0 : Planned(sequence)->count;
  const int count = std::min({sequence->pending() - planned, budget, most, sequence->logits ? logit_rows_ : budget});
  if (count <= 0) return true;
  const int begin = sequence->pages.stored;
  if (!MakeRoom(sequence, begin + planned + count)) return false;
  if (planned > 0) {
    Planned(sequence)->count += count;
  } else {
    plan_.push_back({sequence, begin, count});
  }
  budget -= count;
  if (sequence->logits) logit_rows_ -= count;
  return true;
}

bool GenerationScheduler::ChunkOfPrompt(ScheduledSequence* sequence, int limit, int& budget) {
  const int before = budget;
  const bool runs = Chunk(sequence, limit - prompt_rows_[sequence->client], budget);
  prompt_rows_[sequence->client] += before - budget;
  if (budget < before) served_[sequence->client] = steps_;
  return runs;
}

void GenerationScheduler::PlanDecoding(int& budget) {
  const std::vector<ScheduledSequence*> running = running_;  // preemption takes sequences out
  for (ScheduledSequence* sequence : running) {
    if (!sequence->running || sequence->paused) continue;
    assert(sequence->pending() > 0);
    if (sequence->pending() == 1) Chunk(sequence, 1, budget);
  }
}

void GenerationScheduler::FindPromptClients() {
  prompt_rows_.clear();
  for (const ScheduledSequence* sequence : running_) {
    if (!sequence->paused && sequence->pending() > 1) prompt_rows_[sequence->client] = 0;
  }
  waiting_.ForEachClient([](const ScheduledSequence& s) { return !s.paused; },
                         [this](uint64_t client, const ScheduledSequence&) { prompt_rows_[client] = 0; });
  absl::erase_if(served_, [this](const auto& served) { return !prompt_rows_.contains(served.first); });
}

std::vector<uint64_t> GenerationScheduler::WithoutTurn(int clients) {
  std::vector<uint64_t> others;
  for (const auto& [client, rows] : prompt_rows_) others.push_back(client);
  const auto turn = [this](uint64_t client) { return std::pair(served_[client], client); };
  std::nth_element(others.begin(), others.begin() + clients, others.end(),
                   [&](uint64_t a, uint64_t b) { return turn(a) < turn(b); });
  others.erase(others.begin(), others.begin() + clients);
  return others;
}

void GenerationScheduler::PlanPrompts(int limit, int& budget) {
  const std::vector<ScheduledSequence*> running = running_;
  for (ScheduledSequence* sequence : running) {
    if (!sequence->running || sequence->paused) continue;
    if (sequence->pending() > 1) ChunkOfPrompt(sequence, limit, budget);
  }
}

int GenerationScheduler::PagesAwaited() const {
  int pages = 0;
  for (const ScheduledSequence* sequence : running_) {
    const int missing = WholePages(*sequence) - static_cast<int>(sequence->pages.table.size());
    if (!sequence->paused) pages += std::max(sequence->answers ? 1 : 0, missing);
  }
  return pages;
}

// Whether there are pages for a sequence that waits; then it has those that are known already.
bool GenerationScheduler::AdmitOne(ScheduledSequence* sequence) {
  const auto may_share = absl::MakeConstSpan(sequence->ids).subspan(0, static_cast<size_t>(sequence->share_tokens));
  const int shared = cache_.Share(may_share, sequence->pages);
  // The whole of it must fit now, and leave what others need for theirs: else one would soon be thrown out again.
  const int needed = WholePages(*sequence) - static_cast<int>(sequence->pages.table.size());
  for (const int reserve = PagesAwaited(); needed + reserve > cache_.available();) {
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

void GenerationScheduler::Admit(int limit, int& budget) {
  while (budget > 0) {
    const bool full = running() >= options_.max_sequences;
    ScheduledSequence* yielding = full ? Yielding() : nullptr;
    if (full && (yielding == nullptr || Running(yielding->client) < 2)) return;
    ScheduledSequence* sequence =
        waiting_.Next([&](uint64_t client) { return prompt_rows_[client] < limit && (!full || Running(client) == 0); },
                      [](const ScheduledSequence& s) { return !s.paused; });
    if (sequence == nullptr || !AdmitOne(sequence)) return;
    waiting_.Take(sequence);
    if (full) Preempt(yielding);
    if (sequence->number < 0) sequence->number = admitted_++;
    const auto after = std::find_if(running_.begin(), running_.end(),
                                    [&](const ScheduledSequence* s) { return s->number > sequence->number; });
    running_.insert(after, sequence);
    sequence->running = true;
    if (!ChunkOfPrompt(sequence, limit, budget)) return;
  }
}

// The first draft of each sequence before the second one of any: it is the likelier to be right.
void GenerationScheduler::PlanDrafts(int budget) {
  budget = std::min(budget, options_.draft_rows);
  int pages = waiting_.size() > 0 ? 0 : cache_.available() - PagesAwaited();
  for (bool more = true; more;) {
    more = false;
    for (ScheduledWork& work : plan_) {
      ScheduledSequence& sequence = *work.sequence;
      if (budget == 0 || sequence.pending() != 1 || work.drafts == sequence.drafts) continue;
      const int rows = work.begin + work.count + work.drafts + 1;
      if (KvCache::PagesFor(rows) > static_cast<int>(sequence.pages.table.size())) {
        if (pages <= 0 || !cache_.Reserve(rows, sequence.pages)) continue;
        --pages;
      }
      ++work.drafts;
      --budget;
      more = true;
    }
  }
}

const std::vector<ScheduledWork>& GenerationScheduler::Plan() {
  plan_.clear();
  // Pages of the last step's drafts.
  for (ScheduledSequence* sequence : running_) cache_.Shrink(static_cast<int>(sequence->ids.size()), sequence->pages);
  logit_rows_ = options_.logit_rows;
  int budget = options_.step_tokens;
  PlanDecoding(budget);
  const bool decodes = !plan_.empty();
  if (decodes) budget = std::min(budget, options_.prompt_tokens_beside_decoding);
  PlanAllPrompts(budget);
  if (decodes) PlanDrafts(budget);
  return plan_;
}

void GenerationScheduler::PlanAllPrompts(int& budget) {
  FindPromptClients();
  ++steps_;
  if (prompt_rows_.empty()) return;
  // Everybody's share, of those whose turn it is where it would be too small for all; then what is left of it.
  const int clients = std::clamp(budget / options_.least_prompt_tokens, 1, static_cast<int>(prompt_rows_.size()));
  const int share = std::max(1, budget / clients);
  const std::vector<uint64_t> without_turn = WithoutTurn(clients);
  for (const uint64_t client : without_turn) prompt_rows_[client] = share;  // as if they had theirs
  PlanPrompts(share, budget);
  Admit(share, budget);
  for (const uint64_t client : without_turn) prompt_rows_[client] = 0;
  PlanPrompts(options_.step_tokens, budget);
  Admit(options_.step_tokens, budget);
}

void GenerationScheduler::Done() {
  for (const ScheduledWork& work : plan_) {
    cache_.Store(absl::MakeConstSpan(work.sequence->ids).subspan(0, work.begin + work.count), work.sequence->pages);
  }
  plan_.clear();
}

void GenerationScheduler::Keep(ScheduledSequence* sequence, int tokens) {
  cache_.Store(absl::MakeConstSpan(sequence->ids).subspan(0, tokens), sequence->pages);
}

}  // namespace attnd
