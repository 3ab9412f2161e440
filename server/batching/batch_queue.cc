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
  if (requests_ + requests > options_.max_queue_requests) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", requests_, " texts wait, at most ",
                                                     options_.max_queue_requests,
                                                     " may (max_queue_requests); try again"));
  }
  if (tokens_ + tokens > options_.max_queue_tokens) {
    return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", tokens_, " tokens wait, at most ",
                                                     options_.max_queue_tokens, " may (max_queue_tokens); try again"));
  }
  if (items.empty()) return absl::OkStatus();

  auto [entry, added] = connections_.try_emplace(call.connection);
  if (added) {
    // A connection that comes waits for the turn of all that wait already.
    entry->second = ring_.insert(ring_.end(), Connection{.key = call.connection, .weight = 1});
  }
  Connection& connection = *entry->second;
  connection.weight = std::clamp(call.weight, 1, 100);
  if (call.waiting == 0 && call.deadline != absl::InfiniteFuture()) deadlines_.emplace(call.deadline, &call);
  call.waiting += requests;
  for (QueueItem* item : items) {
    item->call = &call;
    item->queued_at = now;
    connection.items.push_back(item);
  }
  tokens_ += tokens;
  requests_ += requests;
  return absl::OkStatus();
}

void BatchQueue::Expire(absl::Time now, std::vector<QueueItem*>& expired) {
  const auto is_late = [now](const QueueItem& item) { return item.call->deadline <= now; };
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    TakeOut(deadlines_.begin()->second->connection, is_late, expired);
  }
}

absl::Time BatchQueue::NextDeadline() const {
  return deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
}

void BatchQueue::FormBatch(absl::Time now, Batch& batch, std::vector<QueueItem*>& expired) {
  Expire(now, expired);
  while (!ring_.empty()) {
    const Ring::iterator turn = ring_.begin();
    Connection& connection = *turn;
    if (!connection.in_turn) {
      connection.in_turn = true;
      connection.deficit += options_.quantum_tokens * connection.weight;
    }
    while (!connection.items.empty()) {
      QueueItem* item = connection.items.front();
      if (item->tokens > connection.deficit) break;  // its turn is over
      const bool fits = batch.items.empty() || batch.tokens + item->tokens <= options_.max_batch_tokens;
      if (!fits) return;  // the turn goes on with the next batch
      Remove(*item);
      connection.items.pop_front();
      connection.deficit -= item->tokens;
      item->started_at = now;
      batch.items.push_back(item);
      batch.tokens += item->tokens;
    }
    if (connection.items.empty()) {
      Erase(turn);
    } else {
      connection.in_turn = false;
      ring_.splice(ring_.end(), ring_, turn);
    }
    if (batch.tokens >= options_.max_batch_tokens) return;
  }
}

absl::Time BatchQueue::ReadyAt() const {
  if (requests_ == 0) return absl::InfiniteFuture();
  if (options_.max_queue_delay_us == 0 || tokens_ >= options_.max_batch_tokens) return absl::InfinitePast();
  return OldestQueuedAt() + absl::Microseconds(options_.max_queue_delay_us);
}

void BatchQueue::Cancel(const CallTicket& call, std::vector<QueueItem*>& dropped) {
  const auto is_of_call = [&call](const QueueItem& item) { return item.call == &call; };
  TakeOut(call.connection, is_of_call, dropped);
}

void BatchQueue::TakeOut(uint64_t connection, absl::FunctionRef<bool(const QueueItem&)> chosen,
                         std::vector<QueueItem*>& taken) {
  const auto entry = connections_.find(connection);
  if (entry == connections_.end()) return;
  std::deque<QueueItem*>& items = entry->second->items;
  const auto kept =
      std::stable_partition(items.begin(), items.end(), [chosen](const QueueItem* item) { return !chosen(*item); });
  for (auto it = kept; it != items.end(); ++it) {
    Remove(**it);
    taken.push_back(*it);
  }
  items.erase(kept, items.end());
  if (items.empty()) Erase(entry->second);
}

void BatchQueue::Clear(std::vector<QueueItem*>& dropped) {
  for (const Connection& connection : ring_) {
    for (QueueItem* item : connection.items) {
      Remove(*item);
      dropped.push_back(item);
    }
  }
  ring_.clear();
  connections_.clear();
}

QueueStats BatchQueue::Stats(absl::Time now) const {
  QueueStats stats{.tokens = tokens_, .requests = requests_};
  if (requests_ > 0) stats.oldest = std::max(absl::ZeroDuration(), now - OldestQueuedAt());
  return stats;
}

void BatchQueue::Remove(const QueueItem& item) {
  tokens_ -= item.tokens;
  --requests_;
  CallTicket& call = *item.call;
  if (--call.waiting == 0) deadlines_.erase({call.deadline, &call});
}

void BatchQueue::Erase(Ring::iterator connection) {
  connections_.erase(connection->key);
  ring_.erase(connection);
}

absl::Time BatchQueue::OldestQueuedAt() const {
  absl::Time oldest = absl::InfiniteFuture();
  for (const Connection& connection : ring_) oldest = std::min(oldest, connection.items.front()->queued_at);
  return oldest;
}

}  // namespace attnd
