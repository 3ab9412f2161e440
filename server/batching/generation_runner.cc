#include "server/batching/generation_runner.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace attnd {

absl::Status GenerationRunner::SubmitAll(std::vector<Generation> answers, bool after_first) {
  const absl::Status status = generator_.SubmitAll(std::move(answers), after_first);
  if (status.code() != absl::StatusCode::kInvalidArgument) return status;
  return absl::InvalidArgumentError(absl::StrCat(status.message(), " (max_queue_requests): ask for fewer"));
}

GenerationThreads::~GenerationThreads() { StopAll(); }

std::shared_ptr<GenerationRunner> GenerationThreads::Run(std::unique_ptr<GenerationRunner> runner) {
  std::shared_ptr<GenerationRunner> owned = std::move(runner);
  Worker worker{.runner = owned, .ended = std::make_shared<std::atomic<bool>>(false), .thread = {}};
  worker.thread = std::thread([owned, ended = worker.ended]() mutable {
    owned->generator().Run();
    owned.reset();
    ended->store(true);
  });
  absl::MutexLock lock(&mutex_);
  std::erase_if(workers_, [](Worker& old) {  // of models unloaded since
    if (!old.ended->load()) return false;
    old.thread.join();
    return true;
  });
  workers_.push_back(std::move(worker));
  // Whoever lets the last of these go stops the thread, which has a share of its own.
  return std::shared_ptr<GenerationRunner>(owned.get(), [owned](GenerationRunner*) { owned->generator().Stop(); });
}

void GenerationThreads::StopAll() {
  std::vector<Worker> workers;
  {
    absl::MutexLock lock(&mutex_);
    workers.swap(workers_);
  }
  for (Worker& worker : workers) {
    if (const auto runner = worker.runner.lock()) runner->generator().Stop();
  }
  for (Worker& worker : workers) worker.thread.join();
}

}  // namespace attnd
