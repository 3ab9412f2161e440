// Batcher: the queues of all models, between the calls that submit and the workers that run.
#ifndef ATTND_SERVER_BATCHING_BATCHER_H_
#define ATTND_SERVER_BATCHING_BATCHER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/batching/item.h"
#include "server/batching/model_queue.h"

namespace attnd {

// Thread-safe. Latency contract: Submit, Cancel and Stats never block but for the lock, which nobody holds longer than
// forming a batch takes (microseconds); one Submit wakes one worker, and a worker that leaves work behind wakes the
// next. No item is finished under the lock.
//
// Models share the workers by tokens: while several have work waiting, each gets the same number of them, whatever the
// lengths of its texts and the sizes of its batches. A model that had nothing waiting gains no credit by it.
class Batcher {
 public:
  using Clock = std::function<absl::Time()>;  // called by any thread

  // `linger`: how long the last worker to end its batch waits awake for the next before it sleeps. What is submitted
  // meanwhile wakes nobody: a client that asks again at once waits for no core to wake.
  explicit Batcher(Clock clock = absl::Now, std::chrono::microseconds linger = {});

  // Queues all `items` or none, in `call.queue`. When it is not OK no item will be finished. kUnavailable: draining.
  // Else as BatchQueue::Admit.
  absl::Status Submit(CallTicket& call, absl::Span<QueueItem* const> items) ABSL_LOCKS_EXCLUDED(mutex_);

  // Finishes the call's waiting items with kCancelled and marks the call, so that running ones may stop. May be called
  // at any time while the call lives, also twice. Returns after the dropped items were finished.
  void Cancel(CallTicket& call) ABSL_LOCKS_EXCLUDED(mutex_);

  // For workers: blocks until a batch may start; false when the batcher is drained or stopped and nothing waits. A
  // worker that waits here also finishes calls at the moment their deadline passes. `batch` is the worker's last one,
  // which has ended, or empty.
  bool Next(Batch& batch) ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on Submit refuses; what waits still runs.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);
  // Drain, and what waits is finished with kUnavailable.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  QueueStats Stats(const ModelQueue& queue) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The clock that deadlines are compared with.
  absl::Time Now() const { return clock_(); }

 private:
  // The queue whose batch should start now, or null; then `wake_at` says when to look again.
  ModelQueue* ReadyQueue(absl::Time now, absl::Time& wake_at) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Form(ModelQueue& queue, absl::Time now, Batch& batch, std::vector<QueueItem*>& expired)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Unlocks while it waits for a change. Whether it waited: nobody else may be at work or waiting so.
  bool LingerForWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropEmpty() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock clock_;
  const std::chrono::microseconds linger_;
  mutable absl::Mutex mutex_;
  absl::CondVar work_;
  std::vector<ModelQueue*> waiting_ ABSL_GUARDED_BY(mutex_);  // queues with items; the one served last is at the end
  int64_t served_tokens_ ABSL_GUARDED_BY(mutex_) = 0;         // the clock of the queue that was served last
  int idle_ ABSL_GUARDED_BY(mutex_) = 0;                      // workers inside Next that wait
  int running_ ABSL_GUARDED_BY(mutex_) = 0;                   // workers with a batch
  bool lingering_ ABSL_GUARDED_BY(mutex_) = false;            // a worker waits awake and will look again
  std::atomic<uint32_t> changes_{0};                          // submissions, and the end
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace attnd

#endif  // ATTND_SERVER_BATCHING_BATCHER_H_
