// BatchQueue: the queue of one model: who runs next, in batches by token budget. Pure: no clock, no threads, no
// callbacks.
#ifndef ATTND_SERVER_BATCHING_BATCH_QUEUE_H_
#define ATTND_SERVER_BATCHING_BATCH_QUEUE_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "core/engine/fair_queue.h"
#include "server/batching/item.h"

namespace attnd {

struct QueueOptions {
  int64_t max_batch_tokens = 1024;     // of a batch; a longer sequence is a batch of its own
  int64_t max_queue_tokens = 262144;   // waiting; bounds the wait as much as memory
  int64_t max_queue_requests = 16384;  // sequences waiting
  // How long a batch below the budget may wait for more, counted from its oldest sequence. 0: start whenever a worker
  // is idle, the right choice unless the model's step costs much the same for few and many tokens.
  int64_t max_queue_delay_us = 0;
  // What a connection of weight 1 may take in its turn before the next one's turn. Smaller is fairer.
  int64_t quantum_tokens = 128;
};

struct QueueStats {
  int64_t tokens = 0;
  int64_t requests = 0;   // sequences
  absl::Duration oldest;  // how long the oldest sequence has waited
};

// Invariants:
// - what Admit took comes out exactly once: of FormBatch as runnable or expired, of Cancel, or of Clear;
// - tokens and requests never exceed the limits;
// - items of one connection come out in the order they went in;
// - an item whose deadline has passed never comes out runnable, and the first such deadline is known at any time;
// - connections are served by deficit round robin, weighted, counted in tokens (core/engine/fair_queue.h): however much
//   the others have queued, an item of t tokens at the head of its connection is at most ceil(t / quantum) rounds away.
class BatchQueue {
 public:
  explicit BatchQueue(const QueueOptions& options) : options_(options), queue_(options.quantum_tokens) {}

  // Takes all of the call's items or none. kResourceExhausted: no room now, naming the limit; kInvalidArgument: more
  // than the queue ever holds; kDeadlineExceeded: too late already.
  absl::Status Admit(CallTicket& call, absl::Span<QueueItem* const> items, absl::Time now);

  // Takes out what has passed its deadline.
  void Expire(absl::Time now, std::vector<QueueItem*>& expired);
  // The earliest deadline of what waits: when to call Expire. InfiniteFuture when nothing has one.
  absl::Time NextDeadline() const;

  // Appends the next batch to `batch` (empty if nothing waits), after Expire.
  void FormBatch(absl::Time now, Batch& batch, std::vector<QueueItem*>& expired);

  // When the next batch should be formed: InfiniteFuture when nothing waits; InfinitePast when there is no reason to
  // wait.
  absl::Time ReadyAt() const;

  // Takes the waiting items of `call` out.
  void Cancel(const CallTicket& call, std::vector<QueueItem*>& dropped);
  // Takes everything out.
  void Clear(std::vector<QueueItem*>& dropped);

  bool empty() const { return queue_.empty(); }
  QueueStats Stats(absl::Time now) const;

 private:
  void Leave(QueueItem* item, std::vector<QueueItem*>& to);  // it has been taken out of queue_
  absl::Time OldestQueuedAt() const;

  const QueueOptions options_;
  FairQueue<QueueItem> queue_;                                     // by connection
  absl::btree_set<std::pair<absl::Time, CallTicket*>> deadlines_;  // of calls with waiting items
};

}  // namespace attnd

#endif  // ATTND_SERVER_BATCHING_BATCH_QUEUE_H_
