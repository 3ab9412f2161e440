// What waits in the queue: the sequences of calls.
#ifndef ATTND_SERVER_BATCHING_ITEM_H_
#define ATTND_SERVER_BATCHING_ITEM_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace attnd {

class ModelQueue;

// What the queue knows of a call. Owned by the call; must live until each of its items has been finished.
struct CallTicket {
  ModelQueue* queue = nullptr;  // of the model; the call keeps it alive
  uint64_t connection = 0;      // whose turn it is: a hash of the peer's address
  int weight = 1;               // share of the connection against others, 1 to 100
  absl::Time deadline = absl::InfiniteFuture();
  std::atomic<bool> cancelled{false};  // set by Batcher::Cancel
  int64_t waiting = 0;                 // of its items, those in the queue; the queue's to read and write

  // Whether nobody waits for the answer any more.
  bool Abandoned(absl::Time now) const { return cancelled.load(std::memory_order_relaxed) || now >= deadline; }
  // Why that is so; OK while somebody waits.
  absl::Status Abandonment(absl::Time now) const {
    if (cancelled.load(std::memory_order_relaxed)) return absl::CancelledError("the call was cancelled");
    if (now >= deadline) return absl::DeadlineExceededError("the deadline passed while the model ran");
    return absl::OkStatus();
  }
};

// One sequence. Owned by its call; must live until Finish.
class QueueItem {
 public:
  explicit QueueItem(int tokens) : tokens(tokens) {}
  virtual ~QueueItem() = default;
  QueueItem(const QueueItem&) = delete;
  QueueItem& operator=(const QueueItem&) = delete;

  // Called exactly once after Submit took the item: by the executor with the outcome, or by the queue with
  // kDeadlineExceeded, kCancelled or kUnavailable when the item did not run. Never called under a lock of the queue.
  // May destroy the item and, where it was the last one, the call. Must not block: it runs on a worker, or on the
  // thread that called Cancel or Stop.
  virtual void Finish(const absl::Status& status) = 0;

  const int tokens;                                 // its cost, at least 1
  CallTicket* call = nullptr;                       // set by Submit
  absl::Time queued_at;                             // set by Submit
  absl::Time started_at = absl::InfiniteFuture();   // when its batch was formed; InfiniteFuture where it was not
  absl::Time finished_at = absl::InfiniteFuture();  // when its batch was done, set by the executor
};

// Items that run in one step of one model.
struct Batch {
  std::shared_ptr<ModelQueue> queue;  // of the model: alive while the batch runs, even where it has been unloaded
  int64_t tokens = 0;
  std::vector<QueueItem*> items;  // not owned
};

// Finishes all items; they may be gone when it returns.
inline void FinishAll(const std::vector<QueueItem*>& items, const absl::Status& status) {
  for (QueueItem* item : items) item->Finish(status);
}

}  // namespace attnd

#endif  // ATTND_SERVER_BATCHING_ITEM_H_
