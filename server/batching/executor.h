// Executor: what a worker does with a batch.
#ifndef ATTND_SERVER_BATCHING_EXECUTOR_H_
#define ATTND_SERVER_BATCHING_EXECUTOR_H_

#include <functional>
#include <memory>
#include <vector>

#include "core/engine/engine.h"
#include "server/batching/batcher.h"
#include "server/batching/item.h"

namespace attnd {

// Runs batches of one model on one worker thread; every worker has its own.
class Executor {
 public:
  virtual ~Executor() = default;
  // Runs the batch and calls Finish of each item, exactly once, after setting its finished_at.
  virtual void Run(Batch& batch) = 0;
};

// An item that an Engine runs.
class EncodeItem : public QueueItem {
 public:
  using QueueItem::QueueItem;
  // What to compute and where to put it; called once, when the batch starts, so that outputs may be allocated late.
  virtual SequenceJob Job() = 0;
};

// What a worker tells about each batch, after it ran and before its items are finished; a decoder's thread about each
// step.
struct BatchReport {
  int64_t sequences;
  int64_t tokens;
  absl::Duration compute;
  int64_t begun = sequences;  // of them, those that had no batch before: a decoder's sequence is in many
};
using BatchObserver = std::function<void(const BatchReport&)>;  // called by any worker

// Runs EncodeItems. The step stops between layers when every call of the batch has been abandoned. Items whose call was
// abandoned while the others went on finish with kCancelled or kDeadlineExceeded all the same.
class EngineExecutor : public Executor {
 public:
  EngineExecutor(std::shared_ptr<const Model> model, WorkTeam& team, Batcher::Clock clock, BatchObserver observer);
  void Run(Batch& batch) override;

 private:
  const std::shared_ptr<const Model> model_;
  Engine engine_;
  const Batcher::Clock clock_;
  const BatchObserver observer_;
  std::vector<SequenceJob> jobs_;  // reused
};

// An item that brings its own work: operators that need no model.
class TaskItem : public QueueItem {
 public:
  using QueueItem::QueueItem;
  // Computes with the team's help; `keep_going` may be asked at any time, and when it answers false the result is not
  // wanted.
  virtual absl::Status Compute(WorkTeam::Session& team, absl::FunctionRef<bool()> keep_going) = 0;
};

// Runs TaskItems one after the other.
class TaskExecutor : public Executor {
 public:
  TaskExecutor(WorkTeam& team, Batcher::Clock clock, BatchObserver observer);
  void Run(Batch& batch) override;

 private:
  WorkTeam& team_;
  const Batcher::Clock clock_;
  const BatchObserver observer_;
};

// The loop of worker number `worker`: takes batches until the batcher is drained or stopped, and runs each by the
// executor that its model has for this worker.
void RunWorker(Batcher& batcher, int worker);

}  // namespace attnd

#endif  // ATTND_SERVER_BATCHING_EXECUTOR_H_
