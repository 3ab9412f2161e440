// A queue item that records how it was finished.
#ifndef ATTND_TESTS_SERVER_BATCHING_FAKE_ITEM_H_
#define ATTND_TESTS_SERVER_BATCHING_FAKE_ITEM_H_

#include <atomic>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "server/batching/executor.h"
#include "server/batching/item.h"
#include "server/batching/model_queue.h"

namespace attnd {

// Where the clocks of tests begin.
inline const absl::Time kStart = absl::FromUnixSeconds(1000);

class FakeItem : public QueueItem {
 public:
  using QueueItem::QueueItem;
  void Finish(const absl::Status& status) override {
    code.store(static_cast<int>(status.code()));
    finishes.fetch_add(1);
  }
  std::atomic<int> finishes{0};
  std::atomic<int> code{-1};
};

// A model's queue that nothing runs.
inline std::shared_ptr<ModelQueue> FakeQueue(const QueueOptions& options = {}) {
  return std::make_shared<ModelQueue>(options, std::vector<std::unique_ptr<Executor>>());
}

// A call with its items.
struct FakeCall {
  FakeCall(ModelQueue& queue, uint64_t connection, const std::vector<int>& tokens,
           absl::Time deadline = absl::InfiniteFuture())
      : FakeCall(connection, tokens, deadline) {
    ticket.queue = &queue;
  }
  explicit FakeCall(uint64_t connection, const std::vector<int>& tokens, absl::Time deadline = absl::InfiniteFuture()) {
    ticket.connection = connection;
    ticket.deadline = deadline;
    for (int t : tokens) {
      items.push_back(std::make_unique<FakeItem>(t));
      pointers.push_back(items.back().get());
    }
  }
  CallTicket ticket;
  std::vector<std::unique_ptr<FakeItem>> items;
  std::vector<QueueItem*> pointers;
};

}  // namespace attnd

#endif  // ATTND_TESTS_SERVER_BATCHING_FAKE_ITEM_H_
