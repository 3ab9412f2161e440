#include "server/batching/batcher.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "tests/server/batching/fake_item.h"

namespace attnd {
namespace {

const absl::Time kStart = absl::FromUnixSeconds(1000);
Batcher::Clock Frozen() {
  return [] { return kStart; };
}

void RunAll(Batcher& batcher) {
  Batch batch;
  while (batcher.Next(batch)) FinishAll(batch.items, absl::OkStatus());
}

int OkCode() { return static_cast<int>(absl::StatusCode::kOk); }

TEST(BatcherTest, DrainRunsWhatWaitsAndRefusesTheRest) {
  Batcher batcher({QueueOptions{}}, Frozen());
  FakeCall before(1, {10, 20}), after(2, {30});
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
  Batcher batcher({QueueOptions{}}, Frozen());
  FakeCall call(1, {10, 20});
  ASSERT_TRUE(batcher.Submit(call.ticket, call.pointers).ok());
  batcher.Stop();
  Batch batch;
  EXPECT_FALSE(batcher.Next(batch));
  for (const auto& item : call.items) EXPECT_EQ(item->code, static_cast<int>(absl::StatusCode::kUnavailable));
}

TEST(BatcherTest, CancelFinishesWaitingItemsAndMarksTheCall) {
  Batcher batcher({QueueOptions{}}, Frozen());
  FakeCall call(1, {10, 20});
  ASSERT_TRUE(batcher.Submit(call.ticket, call.pointers).ok());
  batcher.Cancel(call.ticket);
  batcher.Cancel(call.ticket);
  EXPECT_TRUE(call.ticket.Abandoned(kStart));
  for (const auto& item : call.items) {
    EXPECT_EQ(item->finishes, 1);
    EXPECT_EQ(item->code, static_cast<int>(absl::StatusCode::kCancelled));
  }
  // A call that was cancelled before it came to the queue does not enter it.
  FakeCall early(1, {10});
  batcher.Cancel(early.ticket);
  EXPECT_EQ(batcher.Submit(early.ticket, early.pointers).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(batcher.Stats(0).requests, 0);
}

TEST(BatcherTest, WorkersTakeTheModelsInTurn) {
  Batcher batcher({QueueOptions{.max_batch_tokens = 10}, QueueOptions{.max_batch_tokens = 10}}, Frozen());
  FakeCall first(1, {10, 10, 10}), second(1, {10, 10, 10});
  second.ticket.model = 1;
  ASSERT_TRUE(batcher.Submit(first.ticket, first.pointers).ok());
  ASSERT_TRUE(batcher.Submit(second.ticket, second.pointers).ok());
  std::vector<int> models;
  Batch batch;
  batcher.Drain();
  while (batcher.Next(batch)) {
    models.push_back(batch.model);
    FinishAll(batch.items, absl::OkStatus());
  }
  EXPECT_EQ(models, (std::vector<int>{0, 1, 0, 1, 0, 1}));
}

TEST(BatcherTest, ExpiredItemsAreFinishedByTheWorker) {
  absl::Time now = kStart;
  Batcher batcher({QueueOptions{}}, [&now] { return now; });
  FakeCall brief(1, {10}, kStart + absl::Milliseconds(5)), patient(1, {20});
  ASSERT_TRUE(batcher.Submit(brief.ticket, brief.pointers).ok());
  ASSERT_TRUE(batcher.Submit(patient.ticket, patient.pointers).ok());
  now = kStart + absl::Milliseconds(5);
  batcher.Drain();
  RunAll(batcher);
  EXPECT_EQ(brief.items[0]->code, static_cast<int>(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(patient.items[0]->code, OkCode());
}

// Every wake-up reads the clock once, so the count of its readings tells how many workers woke.
TEST(BatcherTest, OneSubmitWakesOneWorker) {
  std::atomic<int> readings{0};
  Batcher batcher({QueueOptions{}}, [&readings] {
    readings.fetch_add(1);
    return kStart;
  });
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
    batcher.Stats(0);  // takes the lock: whoever read the clock under it waits now
    FakeCall call(1, {10});
    ASSERT_TRUE(batcher.Submit(call.ticket, call.pointers).ok());
    expected += 4;  // Stats, Submit, the worker that woke, the same one coming back
    wait_for(expected);
    EXPECT_EQ(readings.load(), expected) << "in round " << round;
    ASSERT_EQ(call.items[0]->finishes, 1);
  }
  batcher.Drain();
  for (std::thread& worker : workers) worker.join();
}

TEST(BatcherTest, ManyThreadsLoseNothing) {
  QueueOptions options{.max_batch_tokens = 64, .max_queue_tokens = 4000, .max_queue_requests = 200};
  QueueOptions delayed = options;
  delayed.max_queue_delay_us = 50;
  Batcher batcher({options, delayed});
  std::vector<std::thread> workers, callers;
  for (int i = 0; i < 3; ++i) workers.emplace_back([&] { RunAll(batcher); });
  std::atomic<int> admitted{0}, refused{0}, bad{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&, c] {
      std::mt19937 random(c);
      for (int i = 0; i < 500; ++i) {
        std::vector<int> tokens(1 + random() % 20);
        for (int& t : tokens) t = 1 + random() % 80;
        FakeCall call(c, tokens, random() % 4 == 0 ? absl::Now() + absl::Microseconds(200) : absl::InfiniteFuture());
        call.ticket.model = random() % 2;
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

}  // namespace
}  // namespace attnd
