#include "server/batching/batch_queue.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace attnd {

absl::Status BatchQueue::Admit(CallTicket& call, absl::Span<QueueItem* const> items, absl::Time now) {
  int64_t tokens = 0;
  for (const QueueItem* item : items) tokens += item->tokens;
  const int64_t requests = static_cast<int64_t>(items.size());
  if (requests > options_.max_queue_requests) {
    return absl::InvalidArgumentError(absl::StrCat(requests, " texts in one call, the queue takes at most ",
                                                   options_.max_queue_requests, " (max_queue_requests): send fewer"));
  }
  if (tokens > options_.max_queue_tokens) {
    return absl::InvalidArgumentError(absl::StrCat(tokens, " tokens in one call, the queue takes at most ",
                                                   options_.max_queue_tokens, " (max_queue_tokens): send fewer texts"));
  }
  if (now >= call.deadline) return absl::DeadlineExceededError("the deadline passed before the call was queued");
  if (queue_.size() + requests > options_.max_queue_requests) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", queue_.size(), " texts wait, at most ",
                                                     options_.max_queue_requests,
                                                     " may (max_queue_requests); try again"));
  }
  if (queue_.tokens() + tokens > options_.max_queue_tokens) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", queue_.tokens(), " tokens wait, at most ",
                                                     options_.max_queue_tokens, " may (max_queue_tokens); try again"));
  }
  if (items.empty()) return absl::OkStatus();

  if (call.waiting == 0 && call.deadline != absl::InfiniteFuture()) deadlines_.emplace(call.deadline, &call);
  call.waiting += requests;
  for (QueueItem* item : items) {
    item->call = &call;
    item->queued_at = now;
    queue_.Add(call.connection, item, item->tokens, std::clamp(call.weight, 1, 100));
  }
  return absl::OkStatus();
}

void BatchQueue::Expire(absl::Time now, std::vector<QueueItem*>& expired) {
  const auto is_late = [now](const QueueItem& item) { return item.call->deadline <= now; };
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    queue_.TakeOut(deadlines_.begin()->second->connection, is_late, [&](QueueItem* item) { Leave(item, expired); });
  }
}

absl::Time BatchQueue::NextDeadline() const {
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

void BatchQueue::FormBatch(absl::Time now, Batch& batch, std::vector<QueueItem*>& expired) {
  Expire(now, expired);
  while (batch.tokens < options_.max_batch_tokens) {
    QueueItem* item = queue_.Next();
    if (item == nullptr) return;
    const bool fits = batch.items.empty() || batch.tokens + item->tokens <= options_.max_batch_tokens;
    if (!fits) return;  // the turn goes on with the next batch
    queue_.Take(item);
    Leave(item, batch.items);
    item->started_at = now;
    batch.tokens += item->tokens;
  }
}

absl::Time BatchQueue::ReadyAt() const {
  if (queue_.empty()) return absl::InfiniteFuture();
  if (options_.max_queue_delay_us == 0 || queue_.tokens() >= options_.max_batch_tokens) return absl::InfinitePast();
  return OldestQueuedAt() + absl::Microseconds(options_.max_queue_delay_us);
}

void BatchQueue::Cancel(const CallTicket& call, std::vector<QueueItem*>& dropped) {
  const auto is_of_call = [&call](const QueueItem& item) { return item.call == &call; };
  queue_.TakeOut(call.connection, is_of_call, [&](QueueItem* item) { Leave(item, dropped); });
}

void BatchQueue::Clear(std::vector<QueueItem*>& dropped) {
  queue_.Clear([&](QueueItem* item) { Leave(item, dropped); });
}

QueueStats BatchQueue::Stats(absl::Time now) const {
  QueueStats stats{.tokens = queue_.tokens(), .requests = queue_.size()};
  if (!queue_.empty()) stats.oldest = std::max(absl::ZeroDuration(), now - OldestQueuedAt());
  return stats;
}

void BatchQueue::Leave(QueueItem* item, std::vector<QueueItem*>& to) {
  CallTicket& call = *item->call;
  if (--call.waiting == 0) deadlines_.erase({call.deadline, &call});
  to.push_back(item);
}

absl::Time BatchQueue::OldestQueuedAt() const {
  absl::Time oldest = absl::InfiniteFuture();
  queue_.ForEachClient([](const QueueItem&) { return true; },
                       [&](uint64_t, const QueueItem& first) { oldest = std::min(oldest, first.queued_at); });
  return oldest;
}

}  // namespace attnd
