#include "server/batching/batcher.h"

#include <algorithm>
#include <utility>

#include "core/base/linger.h"

namespace attnd {

Batcher::Batcher(Clock clock, std::chrono::microseconds linger) : clock_(std::move(clock)), linger_(linger) {}

absl::Status Batcher::Submit(CallTicket& call, absl::Span<QueueItem* const> items) {
  const absl::Time now = clock_();
  absl::MutexLock lock(&mutex_);
  if (draining_) return absl::UnavailableError("the server is shutting down");
  // A Cancel that came first has found nothing to drop.
  if (call.cancelled.load(std::memory_order_relaxed)) return absl::CancelledError("the call was cancelled");
  ModelQueue& queue = *call.queue;
  const bool was_empty = queue.queue_.empty();
  absl::Status status = queue.queue_.Admit(call, items, now);
  if (was_empty && !queue.queue_.empty()) {
    // Who comes back owes what it had in excess, but has saved nothing.
    queue.served_tokens_ = std::max(queue.served_tokens_, served_tokens_);
    waiting_.push_back(&queue);
  }
  if (!status.ok()) return status;
  ++changes_;
  if (idle_ > 0 && !lingering_) work_.Signal();
  return absl::OkStatus();
}

void Batcher::Cancel(CallTicket& call) {
  call.cancelled.store(true, std::memory_order_relaxed);
  std::vector<QueueItem*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    if (call.waiting > 0) call.queue->queue_.Cancel(call, dropped);
    DropEmpty();
    if (draining_ && waiting_.empty()) work_.SignalAll();
  }
  FinishAll(dropped, absl::CancelledError("the call was cancelled while it waited"));
}

bool Batcher::Next(Batch& batch) {
  std::vector<QueueItem*> expired;
  bool ran = batch.queue != nullptr, may_linger = ran;
  for (;;) {
    batch.queue.reset();  // may free an unloaded model: not under the lock
    batch.items.clear();
    batch.tokens = 0;
    expired.clear();
    {
      absl::MutexLock lock(&mutex_);
      running_ -= std::exchange(ran, false) ? 1 : 0;
      for (;;) {
        const absl::Time now = clock_();
        for (ModelQueue* queue : waiting_) queue->queue_.Expire(now, expired);
        DropEmpty();
        absl::Time wake_at;
        ModelQueue* const queue = ReadyQueue(now, wake_at);
        if (queue != nullptr) {
          Form(*queue, now, batch, expired);
          running_ += batch.items.empty() ? 0 : 1;
        }
        if (queue != nullptr || !expired.empty()) {
          // Whoever leaves work behind wakes the next worker, so that one Submit need wake only one.
          if (idle_ > 0 && !waiting_.empty()) work_.Signal();
          if (draining_ && waiting_.empty()) work_.SignalAll();
          break;
        }
        if (draining_ && waiting_.empty()) return false;
        if (std::exchange(may_linger, false) && LingerForWork()) continue;
        ++idle_;
        if (wake_at == absl::InfiniteFuture()) {
          work_.Wait(&mutex_);
        } else {
          work_.WaitWithTimeout(&mutex_, wake_at - now);
        }
        --idle_;
      }
    }
    FinishAll(expired, absl::DeadlineExceededError("the deadline passed while the call waited in the queue"));
    if (!batch.items.empty()) return true;
  }
}

bool Batcher::LingerForWork() {
  if (linger_.count() == 0 || lingering_ || running_ > 0 || !waiting_.empty()) return false;
  lingering_ = true;
  const uint32_t seen = changes_.load();
  mutex_.Unlock();
  Linger(linger_, [&] { return changes_.load() != seen; });
  mutex_.Lock();
  lingering_ = false;
  return true;
}

void Batcher::Form(ModelQueue& queue, absl::Time now, Batch& batch, std::vector<QueueItem*>& expired) {
  batch.queue = queue.shared_from_this();
  queue.queue_.FormBatch(now, batch, expired);
  served_tokens_ = std::max(served_tokens_, queue.served_tokens_);
  queue.served_tokens_ += batch.tokens;
  waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &queue));
  if (!queue.queue_.empty()) waiting_.push_back(&queue);
}

void Batcher::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  ++changes_;
  work_.SignalAll();
}

void Batcher::Stop() {
  std::vector<QueueItem*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    ++changes_;
    for (ModelQueue* queue : waiting_) queue->queue_.Clear(dropped);
    waiting_.clear();
    work_.SignalAll();
  }
  FinishAll(dropped, absl::UnavailableError("the server is shutting down"));
}

QueueStats Batcher::Stats(const ModelQueue& queue) const {
  const absl::Time now = clock_();
  absl::MutexLock lock(&mutex_);
  return queue.queue_.Stats(now);
}

// Start-time fair queueing: each queue has a clock that runs by the tokens it is served; the one that is behind goes
// first. "Start-time Fair Queuing", Goyal, Vin and Cheng, 1996.
ModelQueue* Batcher::ReadyQueue(absl::Time now, absl::Time& wake_at) const {
  wake_at = absl::InfiniteFuture();
  ModelQueue* first = nullptr;
  for (ModelQueue* queue : waiting_) {
    // A draining queue gains nothing by waiting for more.
    const absl::Time ready_at = draining_ ? absl::InfinitePast() : queue->queue_.ReadyAt();
    wake_at = std::min({wake_at, ready_at, queue->queue_.NextDeadline()});
    if (ready_at <= now && (first == nullptr || queue->served_tokens_ < first->served_tokens_)) first = queue;
  }
  return first;
}

void Batcher::DropEmpty() {
  std::erase_if(waiting_, [](const ModelQueue* queue) { return queue->queue_.empty(); });
}

}  // namespace attnd
