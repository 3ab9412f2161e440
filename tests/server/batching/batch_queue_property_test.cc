// Random arrivals against the invariants that batch_queue.h promises.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "server/batching/batch_queue.h"
#include "tests/server/batching/fake_item.h"

namespace attnd {
namespace {

class Simulation {
 public:
  explicit Simulation(int seed) : random_(seed) {
    options_.max_batch_tokens = Uniform(1, 600);
    options_.max_queue_tokens = Uniform(200, 5000);
    options_.max_queue_requests = Uniform(2, 60);
    options_.quantum_tokens = Uniform(1, 200);
    queue_.emplace(options_);
  }

  void Run() {
    for (int step = 0; step < 600; ++step) {
      const int kind = Uniform(0, 9);
      if (kind < 5) {
        Arrive();
      } else if (kind < 8) {
        FormOne();
      } else if (kind == 8) {
        CancelOne();
      } else {
        now_ += absl::Milliseconds(Uniform(0, 20));
      }
      CheckBounds();
      if (::testing::Test::HasFailure()) return;
    }
    while (!queue_->empty()) FormOne();
    EXPECT_TRUE(waiting_.empty()) << waiting_.size() << " items were lost";
    EXPECT_EQ(queue_->ReadyAt(), absl::InfiniteFuture());
  }

 private:
  int Uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  void Arrive() {
    std::vector<int> tokens(Uniform(1, 8));
    for (int& t : tokens) t = Uniform(1, Uniform(0, 3) == 0 ? 700 : 60);
    const absl::Time deadline = Uniform(0, 2) == 0 ? now_ + absl::Milliseconds(Uniform(0, 40)) : absl::InfiniteFuture();
    calls_.push_back(std::make_unique<FakeCall>(Uniform(1, 5), tokens, deadline));
    FakeCall& call = *calls_.back();
    call.ticket.weight = Uniform(1, 4);
    int64_t sum = 0;
    for (int t : tokens) sum += t;
    const bool fits = tokens_ + sum <= options_.max_queue_tokens &&
                      static_cast<int64_t>(waiting_.size() + tokens.size()) <= options_.max_queue_requests;
    const absl::Status status = queue_->Admit(call.ticket, call.pointers, now_);
    EXPECT_EQ(status.ok(), fits && deadline > now_) << status;
    if (!status.ok()) return;
    for (QueueItem* item : call.pointers) {
      waiting_.insert(item);
      order_[call.ticket.connection].push_back(item);
    }
    tokens_ += sum;
  }

  void FormOne() {
    Batch batch;
    std::vector<QueueItem*> expired;
    const bool was_empty = queue_->empty();
    queue_->FormBatch(now_, batch, expired);
    EXPECT_EQ(was_empty, batch.items.empty() && expired.empty());
    int64_t sum = 0;
    for (QueueItem* item : batch.items) {
      sum += item->tokens;
      EXPECT_GT(item->call->deadline, now_) << "an expired item was run";
      Leave(item);
    }
    for (QueueItem* item : expired) {
      EXPECT_LE(item->call->deadline, now_) << "an item was dropped before its deadline";
      Leave(item);
    }
    EXPECT_EQ(batch.tokens, sum);
    EXPECT_TRUE(sum <= options_.max_batch_tokens || batch.items.size() == 1)
        << sum << " of " << options_.max_batch_tokens;
  }

  // What leaves is waiting, and what runs is the first of its connection, but for what expired.
  void Leave(QueueItem* item) {
    ASSERT_EQ(waiting_.erase(item), 1u) << "an item came out twice";
    tokens_ -= item->tokens;
    std::vector<QueueItem*>& order = order_[item->call->connection];
    const auto at = std::find(order.begin(), order.end(), item);
    ASSERT_NE(at, order.end());
    if (item->call->deadline <= now_) {
      order.erase(at);
      return;
    }
    for (auto before = order.begin(); before != at; ++before) {
      EXPECT_LE((*before)->call->deadline, now_) << "a later item of the connection came first";
    }
    order.erase(at);
  }

  void CancelOne() {
    if (calls_.empty()) return;
    FakeCall& call = *calls_[Uniform(0, static_cast<int>(calls_.size()) - 1)];
    size_t expected = 0;
    for (QueueItem* item : call.pointers) expected += waiting_.count(item);
    std::vector<QueueItem*> dropped;
    queue_->Cancel(call.ticket, dropped);
    EXPECT_EQ(dropped.size(), expected);
    for (QueueItem* item : dropped) {
      EXPECT_EQ(item->call, &call.ticket);
      EXPECT_EQ(waiting_.erase(item), 1u);
      tokens_ -= item->tokens;
      std::erase(order_[call.ticket.connection], item);
    }
  }

  void CheckBounds() {
    const QueueStats stats = queue_->Stats(now_);
    EXPECT_EQ(stats.tokens, tokens_);
    EXPECT_EQ(stats.requests, static_cast<int64_t>(waiting_.size()));
    EXPECT_LE(stats.tokens, options_.max_queue_tokens);
    absl::Time earliest = absl::InfiniteFuture();
    for (const QueueItem* item : waiting_) earliest = std::min(earliest, item->call->deadline);
    EXPECT_EQ(queue_->NextDeadline(), earliest);
    EXPECT_LE(stats.requests, options_.max_queue_requests);
  }

  std::mt19937 random_;
  QueueOptions options_;
  std::optional<BatchQueue> queue_;
  absl::Time now_ = kStart;
  std::vector<std::unique_ptr<FakeCall>> calls_;
  std::set<QueueItem*> waiting_;
  std::map<uint64_t, std::vector<QueueItem*>> order_;  // by connection, first come first
  int64_t tokens_ = 0;
};

TEST(BatchQueuePropertyTest, NothingLostNothingTwiceBoundsAndOrderKept) {
  for (int seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Simulation(seed).Run();
    if (HasFailure()) return;
  }
}

// Backlogged connections of equal weight get equal shares of tokens, whatever the sizes of their texts.
TEST(BatchQueuePropertyTest, BackloggedConnectionsShareTokensEvenly) {
  for (int seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    BatchQueue queue({.max_batch_tokens = 1024, .max_queue_tokens = 1 << 30, .max_queue_requests = 1 << 20});
    std::vector<std::unique_ptr<FakeCall>> calls;
    for (int connection = 0; connection < 4; ++connection) {
      const int largest = 8 << (2 * connection);  // 8, 32, 128, 512
      std::vector<int> tokens(400000 / largest);
      for (int& t : tokens) t = std::uniform_int_distribution<int>(1, largest)(random);
      calls.push_back(std::make_unique<FakeCall>(connection, tokens));
      ASSERT_TRUE(queue.Admit(calls.back()->ticket, calls.back()->pointers, absl::UnixEpoch()).ok());
    }
    std::map<uint64_t, int64_t> share;
    for (int i = 0; i < 400; ++i) {
      Batch batch;
      std::vector<QueueItem*> expired;
      queue.FormBatch(absl::UnixEpoch(), batch, expired);
      for (const QueueItem* item : batch.items) share[item->call->connection] += item->tokens;
    }
    for (const auto& [connection, tokens] : share) {
      EXPECT_NEAR(static_cast<double>(tokens) / share[0], 1.0, 0.03) << "seed " << seed << " connection " << connection;
    }
  }
}

}  // namespace
}  // namespace attnd
