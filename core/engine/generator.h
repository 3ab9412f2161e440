// Generator: many generations over one decoder at once.
#ifndef ATTND_CORE_ENGINE_GENERATOR_H_
#define ATTND_CORE_ENGINE_GENERATOR_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
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
#include "core/text/tokenizer.h"

namespace attnd {

struct GeneratorOptions {
  SchedulerOptions scheduler;
  int64_t kv_bytes = int64_t{512} << 20;  // of keys and values; memory is taken as pages are first used
  KvType kv_type = KvType::kF32;
  int max_waiting = 1024;  // submitted and not admitted: more are refused
};

// For metrics: counts since the start, and what is there now.
struct GeneratorStats {
  int64_t steps = 0, prompt_tokens = 0, shared_tokens = 0, generated_tokens = 0, preemptions = 0;
  int running = 0, waiting = 0, pages = 0, pages_used = 0;
};

// Submit and Stats may be called by any thread; Run by one.
class Generator {
 public:
  // All outlive the generator.
  Generator(const Decoder& decoder, const Tokenizer& tokenizer, WorkTeam& team, const GeneratorOptions& options);
  ~Generator();

  // Whether a request may be submitted: kInvalidArgument names the field, the value and the limit.
  absl::Status Check(const GenerationRequest& request) const;
  // Never blocks: kResourceExhausted when max_waiting wait already, kUnavailable after Stop. The request has passed
  // Check. The listener's OnEnd is called exactly when this returned OK.
  absl::Status Submit(GenerationRequest request, std::shared_ptr<GenerationListener> listener);

  // Runs steps until Stop, then ends what is left as kCancelled. Sleeps while there is nothing to do.
  void Run();
  void Stop();
  // One step, for who runs the loop himself instead of Run: false when there was nothing to do.
  bool Step();

  GeneratorStats Stats() const;
  int context_tokens() const { return context_; }  // most tokens of prompt and answer

 private:
  struct Active;
  void TakeSubmitted();
  void DropUnwanted();
  DecoderBatch MakeBatch(const std::vector<ScheduledWork>& plan);
  void UseOutput(const std::vector<ScheduledWork>& plan, const DecoderBatch& batch, const Decoder::Output& output,
                 WorkTeam::Session& session);
  void TakePromptOutput(const ScheduledWork& work, int row, const float* logits, const Decoder::Output& output,
                        Active& active) const;
  void SampleToken(Active& active, float* logits) const;
  // True when the sequence is at its end.
  bool Deliver(Active& active);
  void End(Active& active, FinishReason reason, absl::Status status = absl::OkStatus());
  void PublishStats();

  const Decoder& decoder_;
  const Tokenizer& tokenizer_;
  WorkTeam& team_;
  const GeneratorOptions options_;
  const int context_;
  KvPages pages_;

  // The running thread's.
  KvCache cache_;
  GenerationScheduler scheduler_;
  Decoder::Workspace workspace_;
  std::list<std::unique_ptr<Active>> active_;
  GeneratorStats counts_;

  mutable std::mutex mutex_;
  std::condition_variable submitted_change_;
  std::vector<std::unique_ptr<Active>> submitted_;  // guarded by mutex_
  GeneratorStats stats_;                            // guarded by mutex_, as of the last step
  std::atomic<bool> stop_{false};
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_GENERATOR_H_
