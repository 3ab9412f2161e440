// What a client may expect of the scheduler whatever others do.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "tests/core/engine/scheduler_testing.h"

namespace attnd {
namespace {

constexpr uint64_t kFlood = 1, kOther = 2, kThird = 3;

using Sequences = std::vector<std::unique_ptr<ScheduledSequence>>;

Sequences Flood(GenerationScheduler& scheduler, int count, int tokens) {
  Sequences flood;
  for (int i = 0; i < count; ++i) {
    flood.push_back(Sequence(tokens, 1000 * i, kFlood));
    scheduler.Add(flood.back().get());
  }
  return flood;
}

// Those that have `tokens` leave.
void RemoveLong(GenerationScheduler& scheduler, Sequences& sequences, size_t tokens) {
  std::erase_if(sequences, [&](const auto& sequence) {
    if (sequence->ids.size() < tokens) return false;
    scheduler.Remove(sequence.get());
    return true;
  });
}

TEST(GenerationFairnessTest, AFloodDoesNotKeepAnothersPromptWaiting) {
  KvCache cache(400);
  GenerationScheduler scheduler({.max_sequences = 8, .step_tokens = 200, .prompt_tokens_beside_decoding = 50}, cache);
  Sequences flood = Flood(scheduler, 200, 100);
  for (int i = 0; i < 10; ++i) {
    Step(scheduler);
    RemoveLong(scheduler, flood, 110);
  }
  auto other = Sequence(30, 500000, kOther);
  scheduler.Add(other.get());
  int steps = 0;
  for (; other->ids.size() < 35; ++steps) {
    ASSERT_GT(Step(scheduler), 0);
    RemoveLong(scheduler, flood, 110);
  }
  // Two shares of a step's rows for its prompt, then a token in each step, while most of the flood still waits.
  EXPECT_LE(steps, 8);
  EXPECT_GT(scheduler.waiting(), 150);
}

TEST(GenerationFairnessTest, AShortPromptPassesALongOneThatIsBeingRead) {
  KvCache cache(1000);
  GenerationScheduler scheduler({.step_tokens = 512, .prompt_tokens_beside_decoding = 64}, cache);
  auto decoding = Sequence(2, 0, kThird);
  scheduler.Add(decoding.get());
  Step(scheduler);
  Sequences flood = Flood(scheduler, 3, 4000);
  EXPECT_EQ(Step(scheduler), 1 + 64);
  EXPECT_EQ(flood[0]->pages.stored, 64);
  auto other = Sequence(20, 500000, kOther);
  scheduler.Add(other.get());
  EXPECT_EQ(Step(scheduler), 1 + 64);
  EXPECT_EQ(other->ids.size(), 21u);                // at once
  EXPECT_EQ(flood[0]->pages.stored, 64 + 64 - 20);  // with all that was left
  auto longer = Sequence(200, 600000, kThird);
  scheduler.Add(longer.get());
  Step(scheduler);
  EXPECT_EQ(longer->pages.stored, 32);
  EXPECT_EQ(flood[0]->pages.stored, 64 + 64 - 20 + 32);
  EXPECT_EQ(flood[1]->pages.stored, 0);
}

TEST(GenerationFairnessTest, WhereAShareOfAllWouldBeSmallClientsTakeTurns) {
  KvCache cache(1000);
  GenerationScheduler scheduler({.prompt_tokens_beside_decoding = 64, .least_prompt_tokens = 32}, cache);
  auto decoding = Sequence(2, 0, kThird);
  scheduler.Add(decoding.get());
  Step(scheduler);
  Sequences prompts;
  for (int i = 0; i < 5; ++i) {
    prompts.push_back(Sequence(350, 1000 * (i + 1), 10 + i));
    scheduler.Add(prompts.back().get());
  }
  std::vector<int> last(prompts.size(), 0);
  for (int step = 1; step <= 20; ++step) {
    std::vector<int> stored;
    for (const auto& prompt : prompts) stored.push_back(prompt->pages.stored);
    ASSERT_EQ(Step(scheduler), 1 + 64);
    for (size_t i = 0; i < prompts.size(); ++i) {
      const int rows = prompts[i]->pages.stored - stored[i];
      EXPECT_TRUE(rows == 0 || rows == 32) << "step " << step << " prompt " << i;
      if (rows > 0) last[i] = step;
      EXPECT_LE(step - last[i], 3) << "step " << step << " prompt " << i;  // five clients, two a step
    }
  }
}

TEST(GenerationFairnessTest, WhoHasNoPlaceTakesOneOfWhoHasMost) {
  KvCache cache(200);
  GenerationScheduler scheduler({.max_sequences = 4}, cache);
  auto third = Sequence(8, 500000, kThird);
  scheduler.Add(third.get());
  Step(scheduler);
  Sequences flood = Flood(scheduler, 6, 8);
  Step(scheduler);
  ASSERT_EQ(scheduler.running(), 4);
  auto other = Sequence(8, 600000, kOther), more = Sequence(8, 700000, kOther);
  scheduler.Add(other.get());
  scheduler.Add(more.get());
  Step(scheduler);
  EXPECT_EQ(other->ids.size(), 9u);
  EXPECT_FALSE(more->running);  // it has a place
  EXPECT_TRUE(third->running);
  EXPECT_TRUE(flood[0]->running && flood[1]->running);
  EXPECT_EQ(flood[2]->preemptions, 1);
  EXPECT_EQ(scheduler.running(), 4);
  for (int i = 0; i < 20; ++i) Step(scheduler);
  EXPECT_EQ(scheduler.preemptions(), 1);  // nobody is thrown out for one that has a place
  scheduler.Remove(other.get());
  scheduler.Remove(more.get());
  Step(scheduler);
  EXPECT_TRUE(flood[2]->running);  // the next one of its client
  EXPECT_FALSE(flood[3]->running);
}

TEST(GenerationFairnessTest, PagesAreTakenFromWhoHasMostRunning) {
  KvCache cache(10);
  GenerationScheduler scheduler({}, cache);
  Sequences flood = Flood(scheduler, 3, 20);
  Step(scheduler);
  auto other = Sequence(8, 500000, kOther);
  scheduler.Add(other.get());
  while (scheduler.preemptions() == 0) ASSERT_GT(Step(scheduler), 0);
  EXPECT_EQ(flood[2]->preemptions, 1);
  EXPECT_TRUE(other->running);  // though it was admitted last
}

// A flood of random prompts in a cache of random size, and one after the other another client's sequences: while one of
// t tokens waits, the flood has no more tokens admitted than what it may take in t / quantum + 2 turns, and no more
// steps go by than what runs needs to end.
TEST(GenerationFairnessTest, NobodyWaitsForMoreThanAFewTurnsOfAnother) {
  constexpr int kLongest = 200;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); };
    KvCache cache(20 + pick(200));
    const SchedulerOptions options{.max_sequences = 1 + pick(12),
                                   .step_tokens = 32 + pick(300),
                                   .prompt_tokens_beside_decoding = 2 + pick(60),
                                   .quantum_tokens = 1 + pick(200)};
    GenerationScheduler scheduler(options, cache);
    Sequences flood;
    std::unique_ptr<ScheduledSequence> other;
    int64_t turns = 0, admitted = 0;  // since `other` waits: what the flood may take, and what it has taken
    int served = 0;
    for (int step = 0; served < 15; ++step) {
      ASSERT_LT(step, 50000) << "seed " << seed;
      while (scheduler.waiting() < 30) {
        flood.push_back(Sequence(1 + pick(kLongest), 1000 * pick(50), kFlood));
        scheduler.Add(flood.back().get());
      }
      if (other == nullptr && pick(10) == 0) {
        other = Sequence(1 + pick(kLongest), 500000 + 1000 * step, kOther);
        scheduler.Add(other.get());
        turns = (other->pending() / options.quantum_tokens + 2) * options.quantum_tokens + kLongest + 60;
        admitted = 0;
      }
      std::vector<bool> ran;
      for (const auto& sequence : flood) ran.push_back(sequence->running);
      const bool waited = other != nullptr && !other->running;
      Step(scheduler);
      for (size_t i = 0; i < flood.size(); ++i) {
        if (flood[i]->running && !ran[i]) admitted += static_cast<int64_t>(flood[i]->ids.size());
      }
      ASSERT_TRUE(!waited || other->running || admitted <= turns) << "seed " << seed << " step " << step;
      RemoveLong(scheduler, flood, kLongest + 60);
      if (other != nullptr && other->running && pick(20) == 0) {
        scheduler.Remove(other.get());
        other.reset();
        ++served;
      }
      std::vector<const KvCache::Sequence*> all;
      for (const auto& sequence : flood) all.push_back(&sequence->pages);
      if (other != nullptr) all.push_back(&other->pages);
      ASSERT_TRUE(cache.Consistent(all)) << "seed " << seed << " step " << step;
    }
  }
}

}  // namespace
}  // namespace attnd
