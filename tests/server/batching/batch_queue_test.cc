#include "server/batching/batch_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/batching/fake_item.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int> TokensOf(const Batch& batch) {
  std::vector<int> tokens;
  tokens.reserve(batch.items.size());
  for (const QueueItem* item : batch.items) tokens.push_back(item->tokens);
  return tokens;
}

Batch Form(BatchQueue& queue, absl::Time now = kStart) {
  Batch batch;
  std::vector<QueueItem*> expired;
  queue.FormBatch(now, batch, expired);
  EXPECT_TRUE(expired.empty());
  return batch;
}

TEST(BatchQueueTest, FillsABatchToItsBudget) {
  BatchQueue queue({.max_batch_tokens = 100, .quantum_tokens = 1000});
  FakeCall call(1, {40, 50, 20, 90});
  ASSERT_TRUE(queue.Admit(call.ticket, call.pointers, kStart).ok());
  EXPECT_THAT(TokensOf(Form(queue)), ElementsAre(40, 50));
  EXPECT_THAT(TokensOf(Form(queue)), ElementsAre(20));
  EXPECT_THAT(TokensOf(Form(queue)), ElementsAre(90));
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(Form(queue).items.empty());
}

TEST(BatchQueueTest, ASequenceBeyondTheBudgetIsABatchOfItsOwn) {
  BatchQueue queue({.max_batch_tokens = 100, .quantum_tokens = 16});
  FakeCall call(1, {10, 500, 10});
  ASSERT_TRUE(queue.Admit(call.ticket, call.pointers, kStart).ok());
  EXPECT_THAT(TokensOf(Form(queue)), ElementsAre(10));
  EXPECT_THAT(TokensOf(Form(queue)), ElementsAre(500));
  EXPECT_THAT(TokensOf(Form(queue)), ElementsAre(10));
}

TEST(BatchQueueTest, ACallIsAdmittedWholeOrNotAtAll) {
  BatchQueue queue({.max_queue_tokens = 100, .max_queue_requests = 3});
  FakeCall first(1, {30, 30}), second(2, {10, 10}), third(3, {41}), fits(4, {40});
  ASSERT_TRUE(queue.Admit(first.ticket, first.pointers, kStart).ok());
  const absl::Status requests = queue.Admit(second.ticket, second.pointers, kStart);
  EXPECT_EQ(requests.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(requests.message()), HasSubstr("at most 3 may (max_queue_requests); try again"));
  const absl::Status tokens = queue.Admit(third.ticket, third.pointers, kStart);
  EXPECT_EQ(tokens.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(tokens.message()), HasSubstr("at most 100 may (max_queue_tokens); try again"));
  EXPECT_EQ(queue.Stats(kStart).tokens, 60);
  EXPECT_EQ(queue.Stats(kStart).requests, 2);
  EXPECT_TRUE(queue.Admit(fits.ticket, fits.pointers, kStart).ok());
}

TEST(BatchQueueTest, ACallThatNeverFitsIsToldSo) {
  BatchQueue queue({.max_queue_tokens = 100, .max_queue_requests = 3});
  FakeCall many(1, {1, 1, 1, 1}), large(1, {60, 60});
  EXPECT_EQ(queue.Admit(many.ticket, many.pointers, kStart).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(queue.Admit(large.ticket, large.pointers, kStart).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(queue.empty());
}

TEST(BatchQueueTest, ExpiredItemsNeverRun) {
  BatchQueue queue({});
  FakeCall late(1, {5}, kStart), brief(1, {7, 8}, kStart + absl::Milliseconds(10)), patient(1, {9});
  EXPECT_EQ(queue.Admit(late.ticket, late.pointers, kStart).code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_TRUE(queue.Admit(brief.ticket, brief.pointers, kStart).ok());
  ASSERT_TRUE(queue.Admit(patient.ticket, patient.pointers, kStart).ok());
  Batch batch;
  std::vector<QueueItem*> expired;
  queue.FormBatch(kStart + absl::Milliseconds(10), batch, expired);
  EXPECT_THAT(expired, ElementsAre(brief.pointers[0], brief.pointers[1]));
  EXPECT_THAT(batch.items, ElementsAre(patient.pointers[0]));
  EXPECT_EQ(patient.items[0]->started_at, kStart + absl::Milliseconds(10));
  EXPECT_TRUE(queue.empty());
}

TEST(BatchQueueTest, TheNextDeadlineIsThatOfWhatWaits) {
  BatchQueue queue({.max_batch_tokens = 20, .quantum_tokens = 100});
  const absl::Time soon = kStart + absl::Milliseconds(10), later = kStart + absl::Milliseconds(20);
  EXPECT_EQ(queue.NextDeadline(), absl::InfiniteFuture());
  FakeCall first(1, {10, 10, 10}, soon), second(1, {10}, later), third(2, {10}), fourth(3, {10}, soon);
  for (FakeCall* call : {&first, &second, &third, &fourth}) {
    ASSERT_TRUE(queue.Admit(call->ticket, call->pointers, kStart).ok());
  }
  EXPECT_EQ(queue.NextDeadline(), soon);
  EXPECT_THAT(TokensOf(Form(queue)), ElementsAre(10, 10));
  std::vector<QueueItem*> dropped;
  queue.Cancel(fourth.ticket, dropped);
  EXPECT_EQ(queue.NextDeadline(), soon) << "one item of the first call still waits";
  dropped.clear();
  queue.Expire(soon, dropped);
  EXPECT_THAT(dropped, ElementsAre(first.pointers[2]));
  EXPECT_EQ(queue.NextDeadline(), later);
  queue.Clear(dropped);
  EXPECT_EQ(queue.NextDeadline(), absl::InfiniteFuture());
}

TEST(BatchQueueTest, CancelTakesOneCallOut) {
  BatchQueue queue({});
  FakeCall first(1, {1, 2}), second(1, {3}), other(2, {4});
  for (FakeCall* call : {&first, &second, &other}) {
    ASSERT_TRUE(queue.Admit(call->ticket, call->pointers, kStart).ok());
  }
  std::vector<QueueItem*> dropped;
  queue.Cancel(first.ticket, dropped);
  EXPECT_THAT(dropped, ElementsAre(first.pointers[0], first.pointers[1]));
  dropped.clear();
  queue.Cancel(first.ticket, dropped);
  EXPECT_TRUE(dropped.empty());
  EXPECT_EQ(queue.Stats(kStart).tokens, 7);
  EXPECT_THAT(TokensOf(Form(queue)), ElementsAre(3, 4));
}

TEST(BatchQueueTest, AFloodDoesNotStarveAnotherConnection) {
  BatchQueue queue({.max_batch_tokens = 1024});
  FakeCall flood(1, std::vector<int>(2000, 45));
  ASSERT_TRUE(queue.Admit(flood.ticket, flood.pointers, kStart).ok());
  for (int i = 0; i < 3; ++i) Form(queue);
  FakeCall single(2, {300});
  ASSERT_TRUE(queue.Admit(single.ticket, single.pointers, kStart).ok());
  bool seen = false;
  for (int i = 0; i < 2 && !seen; ++i) {
    const Batch batch = Form(queue);
    seen = std::find(batch.items.begin(), batch.items.end(), single.pointers[0]) != batch.items.end();
  }
  EXPECT_TRUE(seen) << "the single text of connection 2 was not in the next two batches";
}

TEST(BatchQueueTest, SharesFollowTheWeights) {
  BatchQueue queue({.max_batch_tokens = 512});
  FakeCall heavy(1, std::vector<int>(1000, 50)), light(2, std::vector<int>(1000, 50));
  heavy.ticket.weight = 3;
  ASSERT_TRUE(queue.Admit(heavy.ticket, heavy.pointers, kStart).ok());
  ASSERT_TRUE(queue.Admit(light.ticket, light.pointers, kStart).ok());
  int heavy_items = 0, light_items = 0;
  for (int i = 0; i < 80; ++i) {
    for (const QueueItem* item : Form(queue).items) ++(item->call == &heavy.ticket ? heavy_items : light_items);
  }
  EXPECT_NEAR(static_cast<double>(heavy_items) / light_items, 3.0, 0.15);
}

TEST(BatchQueueTest, DelayCountsFromTheOldestUnlessTheBudgetIsFull) {
  BatchQueue none({});
  BatchQueue queue({.max_batch_tokens = 100, .max_queue_delay_us = 2000});
  EXPECT_EQ(queue.ReadyAt(), absl::InfiniteFuture());
  FakeCall first(1, {10}), second(2, {20}), third(3, {70}), fourth(4, {10});
  ASSERT_TRUE(none.Admit(fourth.ticket, fourth.pointers, kStart).ok());
  EXPECT_EQ(none.ReadyAt(), absl::InfinitePast());
  ASSERT_TRUE(queue.Admit(first.ticket, first.pointers, kStart).ok());
  ASSERT_TRUE(queue.Admit(second.ticket, second.pointers, kStart + absl::Milliseconds(1)).ok());
  EXPECT_EQ(queue.ReadyAt(), kStart + absl::Milliseconds(2));
  EXPECT_EQ(queue.Stats(kStart + absl::Milliseconds(1)).oldest, absl::Milliseconds(1));
  ASSERT_TRUE(queue.Admit(third.ticket, third.pointers, kStart + absl::Milliseconds(1)).ok());
  EXPECT_EQ(queue.ReadyAt(), absl::InfinitePast());
}

}  // namespace
}  // namespace attnd
