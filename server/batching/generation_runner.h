// GenerationRunner: a decoder at work: its Generator, and the thread that runs the steps.
#ifndef ATTND_SERVER_BATCHING_GENERATION_RUNNER_H_
#define ATTND_SERVER_BATCHING_GENERATION_RUNNER_H_

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/engine/generator.h"
#include "core/model/decoder_model.h"

namespace attnd {

// Any thread may use it. Steps take their cores from the team, beside the workers' batches.
class GenerationRunner {
 public:
  // The team outlives the runner.
  GenerationRunner(std::shared_ptr<const DecoderModel> model, WorkTeam& team, const GeneratorOptions& options)
      : model_(std::move(model)), generator_(*model_->decoder, *model_->tokenizer, team, options, &model_->dense) {}

  const DecoderModel& model() const { return *model_; }
  Generator& generator() { return generator_; }
  // Generator::SubmitAll, whose errors then name the server's limit.
  absl::Status SubmitAll(std::vector<Generation> answers, bool after_first);
  const GeneratorOptions& options() const { return generator_.options(); }

 private:
  const std::shared_ptr<const DecoderModel> model_;
  Generator generator_;
};

// The threads of all runners. A runner may be let go by any thread, also by its own: then its thread ends what is left
// and frees it. Thread-safe.
class GenerationThreads {
 public:
  ~GenerationThreads();  // StopAll

  // Runs it until nobody holds the result any more.
  std::shared_ptr<GenerationRunner> Run(std::unique_ptr<GenerationRunner> runner) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends what runs (kCancelled) and waits for the threads.
  void StopAll() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Worker {
    std::weak_ptr<GenerationRunner> runner;
    std::shared_ptr<std::atomic<bool>> ended;
    std::thread thread;
  };

  absl::Mutex mutex_;
  std::vector<Worker> workers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd

#endif  // ATTND_SERVER_BATCHING_GENERATION_RUNNER_H_
