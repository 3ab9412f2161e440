#include "server/batching/batcher.h"

#include <algorithm>
#include <utility>

namespace attnd {

Batcher::Batcher(const std::vector<QueueOptions>& models, Clock clock) : clock_(std::move(clock)) {
  queues_.reserve(models.size());
  for (const QueueOptions& options : models) queues_.emplace_back(options);
}

absl::Status Batcher::Submit(CallTicket& call, absl::Span<QueueItem* const> items) {
  const absl::Time now = clock_();
  absl::MutexLock lock(&mutex_);
  if (draining_) return absl::UnavailableError("the server is shutting down");
  // A Cancel that came first has found nothing to drop.
  if (call.cancelled.load(std::memory_order_relaxed)) return absl::CancelledError("the call was cancelled");
  absl::Status status = queues_[call.model].Admit(call, items, now);
  if (status.ok() && idle_ > 0) work_.Signal();
  return status;
}

void Batcher::Cancel(CallTicket& call) {
  call.cancelled.store(true, std::memory_order_relaxed);
  std::vector<QueueItem*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    queues_[call.model].Cancel(call, dropped);
    if (draining_ && Empty()) work_.SignalAll();
  }
  FinishAll(dropped, absl::CancelledError("the call was cancelled while it waited"));
}

bool Batcher::Next(Batch& batch) {
  std::vector<QueueItem*> expired;
  for (;;) {
    batch.items.clear();
    batch.tokens = 0;
    expired.clear();
    {
      absl::MutexLock lock(&mutex_);
      for (;;) {
        const absl::Time now = clock_();
        absl::Time wake_at;
        const int model = ReadyModel(now, wake_at);
        if (model >= 0) {
          batch.model = model;
          queues_[model].FormBatch(now, batch, expired);
          next_model_ = (model + 1) % static_cast<int>(queues_.size());
          // Whoever leaves work behind wakes the next worker, so that one Submit need wake only one.
          if (idle_ > 0 && !Empty()) work_.Signal();
          if (draining_ && Empty()) work_.SignalAll();
          break;
        }
        if (draining_ && Empty()) return false;
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

void Batcher::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  work_.SignalAll();
}

void Batcher::Stop() {
  std::vector<QueueItem*> dropped;
  {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    for (BatchQueue& queue : queues_) queue.Clear(dropped);
    work_.SignalAll();
  }
  FinishAll(dropped, absl::UnavailableError("the server is shutting down"));
}

QueueStats Batcher::Stats(int model) const {
  const absl::Time now = clock_();
  absl::MutexLock lock(&mutex_);
  return queues_[model].Stats(now);
}

int Batcher::ReadyModel(absl::Time now, absl::Time& wake_at) const {
  wake_at = absl::InfiniteFuture();
  const int models = static_cast<int>(queues_.size());
  for (int i = 0; i < models; ++i) {
    const int model = (next_model_ + i) % models;
    if (queues_[model].empty()) continue;
    // A draining queue gains nothing by waiting for more.
    const absl::Time ready_at = draining_ ? absl::InfinitePast() : queues_[model].ReadyAt();
    if (ready_at <= now) return model;
    wake_at = std::min(wake_at, ready_at);
  }
  return -1;
}

bool Batcher::Empty() const {
  return std::all_of(queues_.begin(), queues_.end(), [](const BatchQueue& queue) { return queue.empty(); });
}

}  // namespace attnd
