// Batcher: the queues of all models, between the calls that submit and the workers that run.
#ifndef ATTND_SERVER_BATCHING_BATCHER_H_
#define ATTND_SERVER_BATCHING_BATCHER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/batching/batch_queue.h"
#include "server/batching/item.h"

namespace attnd {

// Thread-safe. Latency contract: Submit, Cancel and Stats never block but for the lock, which nobody holds longer than
// forming a batch takes (microseconds); one Submit wakes one worker, and a worker that leaves work behind wakes the
// next. No item is finished under the lock.
class Batcher {
 public:
  using Clock = std::function<absl::Time()>;  // called by any thread

  // One queue per entry of `models`, each with bounds of its own; workers take the models round robin.
  explicit Batcher(const std::vector<QueueOptions>& models, Clock clock = absl::Now);

  // Queues all `items` or none; `call.model` chooses the queue. When it is not OK no item will be finished.
  // kUnavailable: draining. Else as BatchQueue::Admit.
  absl::Status Submit(CallTicket& call, absl::Span<QueueItem* const> items) ABSL_LOCKS_EXCLUDED(mutex_);

  // Finishes the call's waiting items with kCancelled and marks the call, so that running ones may stop. May be called
  // at any time while the call lives, also twice. Returns after the dropped items were finished.
  void Cancel(CallTicket& call) ABSL_LOCKS_EXCLUDED(mutex_);

  // For workers: blocks until a batch may start; false when the batcher is drained or stopped and nothing waits.
  bool Next(Batch& batch) ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on Submit refuses; what waits still runs.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);
  // Drain, and what waits is finished with kUnavailable.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  QueueStats Stats(int model) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The clock that deadlines are compared with.
  absl::Time Now() const { return clock_(); }

 private:
  // Index of the model whose batch should start now, or -1; then `wake_at` says when to look again.
  int ReadyModel(absl::Time now, absl::Time& wake_at) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Empty() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock clock_;
  mutable absl::Mutex mutex_;
  absl::CondVar work_;
  std::vector<BatchQueue> queues_ ABSL_GUARDED_BY(mutex_);
  int next_model_ ABSL_GUARDED_BY(mutex_) = 0;  // whose turn it is
  int idle_ ABSL_GUARDED_BY(mutex_) = 0;        // workers inside Next that wait
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace attnd

#endif  // ATTND_SERVER_BATCHING_BATCHER_H_
