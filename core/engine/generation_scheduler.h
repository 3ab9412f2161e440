// GenerationScheduler: which tokens of which sequences the next step computes. Continuous batching as in "Orca", Yu et
// al., 2022, with prompts in chunks beside decoding ("Sarathi", Agrawal et al., 2023).
#ifndef ATTND_CORE_ENGINE_GENERATION_SCHEDULER_H_
#define ATTND_CORE_ENGINE_GENERATION_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <vector>

#include "absl/status/status.h"
#include "core/engine/kv_cache.h"

namespace attnd {

struct SchedulerOptions {
  int max_sequences = 64;  // admitted at once: each costs a row of a step, and pages
  int step_tokens = 512;   // rows of a step: larger ones are no faster from some hundreds on
  int prompt_tokens_beside_decoding =
      64;  // rows of prompts in a step that also decodes: what a token waits for at most
};

// A sequence as the scheduler sees it. The owner appends to `ids` only between steps.
struct ScheduledSequence {
  // Set before Add, constant after it but for `ids` and `paused`.
  std::vector<int32_t> ids;    // prompt, then answer
  int chunk_tokens = 1 << 30;  // most rows of a step
  void* owner = nullptr;       // the owner's, untouched here
  int share_tokens = 1 << 30;  // of their beginning, those that may be taken over where they are stored, not computed
  bool paused = false;         // nothing of it is computed; changed between steps

  // The scheduler's.
  KvCache::Sequence pages;
  bool running = false;
  int shared_tokens = 0;  // taken over when it was first admitted
  int preemptions = 0;

  int pending() const { return static_cast<int>(ids.size()) - pages.stored; }
};

// Rows ids[begin, begin + count) of a sequence. A sequence whose last token is among them gives the next token.
struct ScheduledWork {
  ScheduledSequence* sequence;
  int begin, count;
};

// First come, first served. Sequences that decode go first in every step; prompts share what is left of it. Where pages
// run out, a paused sequence, or else the one admitted last, gives its own back and is computed again later, so that
// the first that is not paused always finishes. Paused ones do not count as admitted. Pure: no clock, no threads, no
// model. Used by one thread; the cache must outlive it.
class GenerationScheduler {
 public:
  GenerationScheduler(const SchedulerOptions& options, KvCache& cache) : options_(options), cache_(cache) {}

  // kInvalidArgument when a sequence of `tokens` in all could never have enough pages.
  absl::Status Check(int tokens) const;

  void Add(ScheduledSequence* sequence);
  // Finished or given up: its pages are free at once. Not between Plan and Done.
  void Remove(ScheduledSequence* sequence);

  // The next step, its pages reserved; empty when there is nothing to do. Valid until the next call.
  const std::vector<ScheduledWork>& Plan();
  // The planned step ran: its keys and values are stored.
  void Done();

  int running() const;  // admitted and not paused
  int waiting() const { return static_cast<int>(waiting_.size()); }
  int64_t waiting_tokens() const { return waiting_tokens_; }
  int64_t preemptions() const { return preemptions_; }        // since the start
  int64_t prefix_queries() const { return prefix_queries_; }  // tokens looked for among the stored, since the start
  int64_t prefix_hits() const { return prefix_hits_; }        // of them: taken over

 private:
  bool MakeRoom(ScheduledSequence* sequence, int tokens);
  ScheduledSequence* LastPaused() const;  // that runs; null: none does
  void Preempt(ScheduledSequence* sequence);
  void PlanRunning(bool decoding, int& budget);
  void Admit(int& budget);
  bool AdmitOne(ScheduledSequence* sequence);
  bool Chunk(ScheduledSequence* sequence, int& budget);

  const SchedulerOptions options_;
  KvCache& cache_;
  std::deque<ScheduledSequence*> waiting_;
  std::vector<ScheduledSequence*> running_;  // in the order of admission
  std::vector<ScheduledWork> plan_;
  int64_t waiting_tokens_ = 0;
  int64_t preemptions_ = 0, prefix_queries_ = 0, prefix_hits_ = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_GENERATION_SCHEDULER_H_
