// Generator: many generations over one decoder at once.
#ifndef ATTND_CORE_ENGINE_GENERATOR_H_
#define ATTND_CORE_ENGINE_GENERATOR_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "core/base/work_team.h"
#include "core/engine/generation.h"
#include "core/engine/generation_scheduler.h"
#include "core/engine/kv_cache.h"
#include "core/model/decoder.h"
#include "core/model/dense.h"
#include "core/text/tokenizer.h"

namespace attnd {

struct GeneratorStep {
  int sequences, tokens;  // computed, without refused drafts
  int begun;              // of the sequences, those whose first step it was
  int prompt_tokens, generated_tokens;
  int drafted_tokens, accepted_tokens;  // drafts that were tried, and those of them that were right
  int64_t prefix_queries, prefix_hits;  // tokens looked for among the stored ones, and found
  int64_t preemptions;
  std::chrono::nanoseconds time;
};

struct GeneratorOptions {
  SchedulerOptions scheduler;
  int64_t kv_bytes = int64_t{512} << 20;  // of keys and values; memory is taken as pages are first used
  KvType kv_type = KvType::kF32;
  // Most tokens of a sequence that a step tries beyond its next one, where its text stood like this before (lookup.h);
  // 0: none. The tokens that come are the same.
  int lookup_tokens = 8;
  // Submitted and not admitted: more are refused.
  int64_t max_waiting = 1024;
  int64_t max_waiting_tokens = int64_t{1} << 18;  // of their prompts; what is more by itself may wait alone
  // Called by the running thread after each step, before the listeners hear what came of it.
  std::function<void(const GeneratorStep&)> observe;
};

// For metrics: counts since the start, and what is there now.
struct GeneratorStats {
  int64_t steps = 0, begun = 0, prompt_tokens = 0, generated_tokens = 0, preemptions = 0;  // begun: answers
  int64_t drafted_tokens = 0, accepted_tokens = 0;  // drafts that were tried, and those that were right
  int64_t prefix_queries = 0, prefix_hits = 0;      // tokens looked for among the stored ones, and found
  int running = 0, waiting = 0, pages = 0, pages_used = 0;
  int64_t waiting_tokens = 0;
};

// One answer that is wanted, who gets it, and on whose account: clients are served fairly against each other.
struct Generation {
  GenerationRequest request;
  std::shared_ptr<GenerationListener> listener;
  uint64_t client = 0;
};

// Submit, Wake, Stop and Stats may be called by any thread; Run by one.
class Generator {
 public:
  // All outlive the generator. `dense`: what pooled embeddings go through; null: nothing.
  Generator(const Decoder& decoder, const Tokenizer& tokenizer, WorkTeam& team, const GeneratorOptions& options,
            const DenseModules* dense = nullptr);
  ~Generator();

  // Whether a request may be submitted: kInvalidArgument names the field, the value and the limit.
  absl::Status Check(const GenerationRequest& request) const;
  // Never blocks: kResourceExhausted when too many wait already, kUnavailable after Stop. The request has passed Check.
  // The listener's OnEnd is called exactly when this returned OK.
  absl::Status Submit(GenerationRequest request, std::shared_ptr<GenerationListener> listener, uint64_t client = 0);
  // The same for several, all or none. With `after_first` the others, whose prompts begin as the first one's does,
  // begin when that one has read its prompt, and take its pages over. kInvalidArgument: more than may ever wait.
  absl::Status SubmitAll(std::vector<Generation> answers, bool after_first);
  // Some listener's Wanted or Ready has changed: it is asked again soon, also while nothing runs.
  void Wake();

  // Runs steps until Stop, then ends what is left as kCancelled. Sleeps while there is nothing to do.
  void Run();
  void Stop();
  // One step, for who runs the loop himself instead of Run: false when there was nothing to do.
  bool Step();

  GeneratorStats Stats() const;
  const GeneratorOptions& options() const { return options_; }
  int context_tokens() const { return context_; }  // most tokens of prompt and answer

 private:
  struct Active;
  void TakeSubmitted();
  void AskListeners();
  void Begin(std::unique_ptr<Active> active);
  void BeginFollowers(Active& active);
  void EndAll();
  DecoderBatch MakeBatch(const std::vector<ScheduledWork>& plan);
  void UseOutput(const std::vector<ScheduledWork>& plan, const DecoderBatch& batch, const Decoder::Output& output,
                 WorkTeam::Session& session);
  // `row` of the step is the work's first; `logits` begin with those of its row `first_logits`.
  void TakePromptOutput(const ScheduledWork& work, int row, int first_logits, const float* logits,
                        const Decoder::Output& output, Active& active) const;
  // Of the sequences whose prompts end with this step.
  void FinishEmbeddings(const std::vector<ScheduledWork>& plan, WorkTeam::Session& session);
  // The next token of a sequence. False: nothing follows it, or there is none.
  bool SampleToken(Active& active, float* logits) const;
  void SetText(Active& active, GeneratedToken& token) const;  // and whether the answer ends with it
  // True when the sequence is at its end.
  bool Deliver(Active& active);
  void End(Active& active, FinishReason reason, absl::Status status = absl::OkStatus());
  void PublishStats();
  void Report(int sequences, int rows, std::chrono::nanoseconds time);

  const Decoder& decoder_;
  const DenseModules* const dense_;
  const Tokenizer& tokenizer_;
  WorkTeam& team_;
  const GeneratorOptions options_;
  const int context_;
  KvPages pages_;

  // The running thread's.
  KvCache cache_;
  GenerationScheduler scheduler_;
  Decoder::Workspace workspace_;
  DenseModules::Workspace dense_workspace_;
  std::list<std::unique_ptr<Active>> active_;
  int64_t followers_ = 0, follower_tokens_ = 0;  // that wait for the first of their prompt
  GeneratorStats counts_, reported_;

  mutable std::mutex mutex_;
  std::condition_variable submitted_change_;
  std::vector<std::unique_ptr<Active>> submitted_;      // guarded by mutex_
  int64_t submitted_count_ = 0, submitted_tokens_ = 0;  // guarded by mutex_, of submitted_ with their followers
  bool woken_ = false;                                  // guarded by mutex_
  GeneratorStats stats_;                                // guarded by mutex_, as of the last step
  std::atomic<bool> stop_{false};
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_GENERATOR_H_
