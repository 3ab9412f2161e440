#include "server/batching/batcher.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "tests/server/batching/fake_item.h"

namespace attnd {
namespace {

Batcher::Clock Frozen() {
  return [] { return kStart; };
}

void RunAll(Batcher& batcher) {
  Batch batch;
  while (batcher.Next(batch)) FinishAll(batch.items, absl::OkStatus());
}

int OkCode() { return static_cast<int>(absl::StatusCode::kOk); }

TEST(BatcherTest, DrainRunsWhatWaitsAndRefusesTheRest) {
  Batcher batcher(Frozen());
  const auto queue = FakeQueue();
  FakeCall before(*queue, 1, {10, 20}), after(*queue, 2, {30});
  ASSERT_TRUE(batcher.Submit(before.ticket, before.pointers).ok());
  batcher.Drain();
  EXPECT_EQ(batcher.Submit(after.ticket, after.pointers).code(), absl::StatusCode::kUnavailable);
  RunAll(batcher);
  for (const auto& item : before.items) {
    EXPECT_EQ(item->finishes, 1);
    EXPECT_EQ(item->code, OkCode());
  }
  EXPECT_EQ(after.items[0]->finishes, 0);
}

TEST(BatcherTest, StopFinishesWhatWaits) {
  Batcher batcher(Frozen());
  const auto queue = FakeQueue();
  FakeCall call(*queue, 1, {10, 20});
  ASSERT_TRUE(batcher.Submit(call.ticket, call.pointers).ok());
  batcher.Stop();
  Batch batch;
  EXPECT_FALSE(batcher.Next(batch));
  for (const auto& item : call.items) EXPECT_EQ(item->code, static_cast<int>(absl::StatusCode::kUnavailable));
}

TEST(BatcherTest, CancelFinishesWaitingItemsAndMarksTheCall) {
  Batcher batcher(Frozen());
  const auto queue = FakeQueue();
  FakeCall call(*queue, 1, {10, 20});
  ASSERT_TRUE(batcher.Submit(call.ticket, call.pointers).ok());
  batcher.Cancel(call.ticket);
  batcher.Cancel(call.ticket);
  EXPECT_TRUE(call.ticket.Abandoned(kStart));
  for (const auto& item : call.items) {
    EXPECT_EQ(item->finishes, 1);
    EXPECT_EQ(item->code, static_cast<int>(absl::StatusCode::kCancelled));
  }
  // A call that was cancelled before it came to the queue does not enter it.
  FakeCall early(*queue, 1, {10});
  batcher.Cancel(early.ticket);
  EXPECT_EQ(batcher.Submit(early.ticket, early.pointers).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(batcher.Stats(*queue).requests, 0);
}

TEST(BatcherTest, WorkersTakeTheModelsInTurn) {
  Batcher batcher(Frozen());
  const auto one = FakeQueue({.max_batch_tokens = 10}), two = FakeQueue({.max_batch_tokens = 10});
  FakeCall first(*one, 1, {10, 10, 10}), second(*two, 1, {10, 10, 10});
  ASSERT_TRUE(batcher.Submit(first.ticket, first.pointers).ok());
  ASSERT_TRUE(batcher.Submit(second.ticket, second.pointers).ok());
  std::vector<ModelQueue*> order;
  Batch batch;
  batcher.Drain();
  while (batcher.Next(batch)) {
    order.push_back(batch.queue.get());
    FinishAll(batch.items, absl::OkStatus());
  }
  EXPECT_EQ(order, (std::vector<ModelQueue*>{one.get(), two.get(), one.get(), two.get(), one.get(), two.get()}));
}

// A model whose texts are longer than the budget gets no more tokens by it, also where each of its calls comes only
// when the one before is done.
TEST(BatcherTest, ABatchBeyondTheBudgetIsPaidFor) {
  Batcher batcher(Frozen());
  const auto large = FakeQueue({.max_batch_tokens = 100}), small = FakeQueue({.max_batch_tokens = 100});
  FakeCall backlog(*small, 1, std::vector<int>(1000, 50));
  ASSERT_TRUE(batcher.Submit(backlog.ticket, backlog.pointers).ok());
  int64_t of_large = 0, of_small = 0;
  auto call = std::make_unique<FakeCall>(*large, 2, std::vector<int>{800});
  ASSERT_TRUE(batcher.Submit(call->ticket, call->pointers).ok());
  Batch batch;
  while (of_small < 20000 && batcher.Next(batch)) {
    (batch.queue == large ? of_large : of_small) += batch.tokens;
    FinishAll(batch.items, absl::OkStatus());
    if (batch.queue != large) continue;
    call = std::make_unique<FakeCall>(*large, 2, std::vector<int>{800});
    ASSERT_TRUE(batcher.Submit(call->ticket, call->pointers).ok());
  }
  EXPECT_NEAR(static_cast<double>(of_large), 20000, 900);
  batcher.Stop();
}

TEST(BatcherTest, AQueueLivesAsLongAsItsBatch) {
  Batcher batcher(Frozen());
  auto queue = FakeQueue();
  const std::weak_ptr<ModelQueue> alive = queue;
  FakeCall call(*queue, 1, {10});
  ASSERT_TRUE(batcher.Submit(call.ticket, call.pointers).ok());
  Batch batch;
  ASSERT_TRUE(batcher.Next(batch));
  queue.reset();  // the model is unloaded, and the call goes with its last item
  FinishAll(batch.items, absl::OkStatus());
  EXPECT_FALSE(alive.expired());
  batcher.Drain();
  EXPECT_FALSE(batcher.Next(batch));
  EXPECT_TRUE(alive.expired());
}

TEST(BatcherTest, ExpiredItemsAreFinishedByTheWorker) {
  absl::Time now = kStart;
  Batcher batcher([&now] { return now; });
  const auto queue = FakeQueue();
  FakeCall brief(*queue, 1, {10}, kStart + absl::Milliseconds(5)), patient(*queue, 1, {20});
  ASSERT_TRUE(batcher.Submit(brief.ticket, brief.pointers).ok());
  ASSERT_TRUE(batcher.Submit(patient.ticket, patient.pointers).ok());
  now = kStart + absl::Milliseconds(5);
  batcher.Drain();
  RunAll(batcher);
  EXPECT_EQ(brief.items[0]->code, static_cast<int>(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(patient.items[0]->code, OkCode());
}

// The queue would wait an hour for more; the deadline is noticed when it passes, and what has none goes on waiting.
TEST(BatcherTest, ADeadlineIsNoticedWhileTheQueueWaitsForMore) {
  Batcher batcher;
  const auto queue = FakeQueue({.max_queue_delay_us = int64_t{3600} * 1000000});
  std::thread worker([&] { RunAll(batcher); });
  const absl::Time deadline = absl::Now() + absl::Milliseconds(20);
  FakeCall patient(*queue, 1, {20}), brief(*queue, 1, {10, 10}, deadline);
  ASSERT_TRUE(batcher.Submit(patient.ticket, patient.pointers).ok());
  ASSERT_TRUE(batcher.Submit(brief.ticket, brief.pointers).ok());
  while (brief.items[1]->finishes == 0) std::this_thread::yield();
  EXPECT_GE(absl::Now(), deadline);
  EXPECT_EQ(brief.items[0]->code, static_cast<int>(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(patient.items[0]->finishes, 0);
  batcher.Drain();
  worker.join();
  EXPECT_EQ(patient.items[0]->code, OkCode());
}

// Every wake-up reads the clock once, so the count of its readings tells how many workers woke.
TEST(BatcherTest, OneSubmitWakesOneWorker) {
  std::atomic<int> readings{0};
  Batcher batcher([&readings] {
    readings.fetch_add(1);
    return kStart;
  });
  const auto queue = FakeQueue();
  constexpr int kWorkers = 4, kRounds = 200;
  std::vector<std::thread> workers;
  workers.reserve(kWorkers);
  for (int i = 0; i < kWorkers; ++i) workers.emplace_back([&] { RunAll(batcher); });
  const auto wait_for = [&readings](int count) {
    while (readings.load() < count) std::this_thread::yield();
  };
  int expected = kWorkers;
  for (int round = 0; round < kRounds; ++round) {
    wait_for(expected);
    batcher.Stats(*queue);  // takes the lock: whoever read the clock under it waits now
    FakeCall call(*queue, 1, {10});
    ASSERT_TRUE(batcher.Submit(call.ticket, call.pointers).ok());
    expected += 4;  // Stats, Submit, the worker that woke, the same one coming back
    wait_for(expected);
    EXPECT_EQ(readings.load(), expected) << "in round " << round;
    ASSERT_EQ(call.items[0]->finishes, 1);
  }
  batcher.Drain();
  for (std::thread& worker : workers) worker.join();
}

// The last of three to end its batch lingers: it takes what comes, and notices the end at once.
TEST(BatcherTest, WhoLingersTakesWhatComes) {
  Batcher batcher(Frozen(), std::chrono::hours(1));
  const auto queue = FakeQueue();
  std::vector<std::thread> workers;
  for (int i = 0; i < 3; ++i) workers.emplace_back([&] { RunAll(batcher); });
  for (int round = 0; round < 2000; ++round) {
    FakeCall call(*queue, 1, {10});
    ASSERT_TRUE(batcher.Submit(call.ticket, call.pointers).ok());
    while (call.items[0]->finishes == 0) std::this_thread::yield();
    EXPECT_EQ(call.items[0]->code, OkCode());
  }
  batcher.Drain();
  for (std::thread& worker : workers) worker.join();
}

void ManyThreadsLoseNothing(std::chrono::microseconds linger) {
  QueueOptions options{.max_batch_tokens = 64, .max_queue_tokens = 4000, .max_queue_requests = 200};
  QueueOptions delayed = options;
  delayed.max_queue_delay_us = 50;
  Batcher batcher(absl::Now, linger);
  const auto quick = FakeQueue(options), slow = FakeQueue(delayed);
  std::vector<std::thread> workers, callers;
  for (int i = 0; i < 3; ++i) workers.emplace_back([&] { RunAll(batcher); });
  std::atomic<int> admitted{0}, refused{0}, bad{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&, c] {
      std::mt19937 random(c);
      for (int i = 0; i < 500; ++i) {
        std::vector<int> tokens(1 + random() % 20);
        for (int& t : tokens) t = 1 + random() % 80;
        FakeCall call(random() % 2 == 0 ? *quick : *slow, c, tokens,
                      random() % 4 == 0 ? absl::Now() + absl::Microseconds(200) : absl::InfiniteFuture());
        const absl::Status status = batcher.Submit(call.ticket, call.pointers);
        if (!status.ok()) {
          ++refused;
          for (const auto& item : call.items) bad += item->finishes != 0;
          continue;
        }
        ++admitted;
        if (random() % 5 == 0) batcher.Cancel(call.ticket);
        for (const auto& item : call.items) {
          while (item->finishes == 0) std::this_thread::yield();
        }
        for (const auto& item : call.items) bad += item->finishes != 1;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  batcher.Drain();
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(admitted + refused, 2000);
  EXPECT_GT(admitted, 0);
}

TEST(BatcherTest, ManyThreadsLoseNothing) {
  for (const int linger_us : {0, 20, 100000}) ManyThreadsLoseNothing(std::chrono::microseconds(linger_us));
}

}  // namespace
}  // namespace attnd
