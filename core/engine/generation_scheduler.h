// GenerationScheduler: which tokens of which sequences the next step computes. Continuous batching as in "Orca", Yu et
// al., 2022, with prompts in chunks beside decoding ("Sarathi", Agrawal et al., 2023).
#ifndef ATTND_CORE_ENGINE_GENERATION_SCHEDULER_H_
#define ATTND_CORE_ENGINE_GENERATION_SCHEDULER_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "core/engine/fair_queue.h"
#include "core/engine/kv_cache.h"

namespace attnd {

struct SchedulerOptions {
  int max_sequences = 64;  // admitted at once: each costs a row of a step, and pages
  int step_tokens = 512;   // rows of a step: larger ones are no faster from some hundreds on
  int prompt_tokens_beside_decoding =
      64;                // rows of prompts in a step that also decodes: what a token waits for at most
  int draft_rows = 32;   // rows of drafts in a step at most: not tuned
  int logit_rows = 128;  // rows of prompts whose logits are all wanted, likewise: each is as wide as the vocabulary
  // Rows of prompts that a client gets in a step at least; where that is too little for all, they take turns. Fewer
  // rows would read the keys and values before them nearly as often as there are rows.
  int least_prompt_tokens = 32;
  int64_t quantum_tokens = 128;  // what a client may have admitted before the next one's turn. Smaller is fairer
};

// A sequence as the scheduler sees it. The owner appends to `ids` only between steps.
struct ScheduledSequence {
  // Set before Add, constant after it but for `ids`, `drafts` and `paused`.
  std::vector<int32_t> ids;    // prompt, then answer
  bool logits = false;         // of every row of its prompt are wanted
  int drafts = 0;              // tokens that may follow `ids`, to be tried where it decodes; changed between steps
  void* owner = nullptr;       // the owner's, untouched here
  uint64_t client = 0;         // whose it is: clients are served fairly against each other
  bool answers = true;         // false: only read, so that it needs no room for a next token
  int share_tokens = 1 << 30;  // of their beginning, those that may be taken over where they are stored, not computed
  bool paused = false;         // nothing of it is computed; changed between steps

  // The scheduler's.
  KvCache::Sequence pages;
  bool running = false;
  int64_t number = -1;    // in the order of first admissions; -1: never was
  int shared_tokens = 0;  // taken over when it was first admitted
  int preemptions = 0;

  int pending() const { return static_cast<int>(ids.size()) - pages.stored; }
};

// Rows ids[begin, begin + count) of a sequence, and after them the first `drafts` of its drafts. A sequence whose last
// token is among them gives the next token, and those after it as far as the drafts are right.
struct ScheduledWork {
  ScheduledSequence* sequence;
  int begin, count;
  int drafts = 0;
};

// Fair between clients, first come, first served within each:
// - Waiting ones are admitted by deficit round robin, counted in tokens to compute (fair_queue.h). The one whose turn
// it
//   is waits for its pages, and nobody overtakes it.
// - Where all places are taken, a client that has none takes one of the client that has most and more than one.
// - Sequences that decode go first in every step. What is left for prompts is shared evenly by the clients that have
//   some, running or waiting; rows that a client does not need go to the others, first come first.
// - Drafts take what rows and pages nobody else wants, for this step alone: they make nobody wait or give way.
// - Where pages run out, a paused sequence, or else the last one of the client that has most running, gives its own
//   back, is the next one of its client, and is computed again later.
//
// Of the running ones that are not paused, the one that was first admitted before the others is never made to give
// anything back, and a sequence keeps its number when it comes again: so each one that is not paused finishes.
//
// Paused ones do not count as admitted. Pure: no clock, no threads, no model. Used by one thread; the cache must
// outlive it.
class GenerationScheduler {
 public:
  GenerationScheduler(const SchedulerOptions& options, KvCache& cache)
      : options_(options), cache_(cache), waiting_(options.quantum_tokens) {}

  // kInvalidArgument when a sequence of `tokens` in all could never have enough pages. `answers`: some of them are to
  // be generated, as max_tokens says.
  absl::Status Check(int tokens, bool answers = true) const;

  void Add(ScheduledSequence* sequence);
  // Finished or given up: its pages are free at once. Not between Plan and Done.
  void Remove(ScheduledSequence* sequence);

  // The next step, its pages reserved; empty when there is nothing to do. Valid until the next call.
  const std::vector<ScheduledWork>& Plan();
  // The planned step ran: its keys and values are stored, but not those of drafts.
  void Done();
  // After Done, when its owner appended tokens: drafts were right, so the keys and values of the first `tokens` of
  // `ids` are stored, too.
  void Keep(ScheduledSequence* sequence, int tokens);

  int running() const;  // admitted and not paused
  int waiting() const { return static_cast<int>(waiting_.size()); }
  int64_t waiting_tokens() const { return waiting_.tokens(); }
  int64_t preemptions() const { return preemptions_; }        // since the start
  int64_t prefix_queries() const { return prefix_queries_; }  // tokens looked for among the stored, since the start
  int64_t prefix_hits() const { return prefix_hits_; }        // of them: taken over

 private:
  bool MakeRoom(ScheduledSequence* sequence, int tokens);
  ScheduledSequence* LastPaused() const;  // that runs; null: none does
  // Whose place or pages others may take where none is paused; null: nobody's.
  ScheduledSequence* Yielding() const;
  int Running(uint64_t client) const;  // admitted and not paused
  void Preempt(ScheduledSequence* sequence);
  void PlanDecoding(int& budget);
  void FindPromptClients();
  // All that have prompts but the `clients` that were served longest ago.
  std::vector<uint64_t> WithoutTurn(int clients);
  // Prompts of those that run, and of those that come: until their client has `limit` rows.
  void PlanPrompts(int limit, int& budget);
  void Admit(int limit, int& budget);
  void PlanAllPrompts(int& budget);
  void PlanDrafts(int budget);
  int PagesAwaited() const;  // by the running: what their prompts still need, or one for what they generate
  bool AdmitOne(ScheduledSequence* sequence);
  ScheduledWork* Planned(const ScheduledSequence* sequence);  // null: nothing of it yet
  bool ChunkOfPrompt(ScheduledSequence* sequence, int limit, int& budget);
  bool Chunk(ScheduledSequence* sequence, int most, int& budget);

  const SchedulerOptions options_;
  KvCache& cache_;
  FairQueue<ScheduledSequence> waiting_;
  std::vector<ScheduledSequence*> running_;  // in the order of their numbers
  std::vector<ScheduledWork> plan_;
  absl::flat_hash_map<uint64_t, int> prompt_rows_;  // of this step, by client that has prompts
  absl::flat_hash_map<uint64_t, int64_t> served_;   // of those: the last step that read any of theirs
  int logit_rows_ = 0;                              // left of this step
  int64_t steps_ = 0;                               // that had prompts
  int64_t admitted_ = 0;                            // the next number
  int64_t preemptions_ = 0, prefix_queries_ = 0, prefix_hits_ = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_GENERATION_SCHEDULER_H_
