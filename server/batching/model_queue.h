// ModelQueue: one model's place among the others: what waits for it, what it has had, and who runs its batches.
#ifndef ATTND_SERVER_BATCHING_MODEL_QUEUE_H_
#define ATTND_SERVER_BATCHING_MODEL_QUEUE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "server/batching/batch_queue.h"

namespace attnd {

class Executor;

// Made by std::make_shared. Calls hold it from their start to their end, and a batch while it runs; so a model that is
// unloaded goes with its last call, and the Batcher knows only of queues in which something waits.
class ModelQueue : public std::enable_shared_from_this<ModelQueue> {
 public:
  // `executors`: one a worker, which own what they need of the model.
  ModelQueue(const QueueOptions& options, std::vector<std::unique_ptr<Executor>> executors);
  ~ModelQueue();
  ModelQueue(const ModelQueue&) = delete;
  ModelQueue& operator=(const ModelQueue&) = delete;

  Executor& executor(int worker) { return *executors_[static_cast<size_t>(worker)]; }

 private:
  friend class Batcher;  // whose lock guards what follows
  BatchQueue queue_;
  int64_t served_tokens_ = 0;  // its clock: see Batcher::ReadyQueue

  const std::vector<std::unique_ptr<Executor>> executors_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_BATCHING_MODEL_QUEUE_H_
