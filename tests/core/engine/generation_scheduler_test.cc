#include "core/engine/generation_scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "tests/core/engine/scheduler_testing.h"

namespace attnd {
namespace {

TEST(GenerationSchedulerTest, LongPromptsComeInChunksBesideDecoding) {
  KvCache cache(200);
  GenerationScheduler scheduler({.step_tokens = 100, .prompt_tokens_beside_decoding = 10}, cache);
  auto a = Sequence(5, 0), b = Sequence(230, 1000);
  scheduler.Add(a.get());
  EXPECT_EQ(Step(scheduler), 5);
  scheduler.Add(b.get());
  for (int i = 0; i < 23; ++i) {
    EXPECT_EQ(Step(scheduler), 11) << i;  // a decodes in every step
    EXPECT_EQ(a->ids.size(), 7u + i);
  }
  EXPECT_EQ(b->ids.size(), 231u);
  EXPECT_EQ(Step(scheduler), 2);
  scheduler.Remove(a.get());
  scheduler.Remove(b.get());
  EXPECT_EQ(Step(scheduler), 0);
  EXPECT_EQ(cache.used(), 0);
}

TEST(GenerationSchedulerTest, AlonePromptsTakeTheWholeStep) {
  KvCache cache(200);
  GenerationScheduler scheduler({.step_tokens = 100, .prompt_tokens_beside_decoding = 10, .logit_rows = 20}, cache);
  auto a = Sequence(150, 0), b = Sequence(30, 1000);
  b->logits = true;
  scheduler.Add(a.get());
  scheduler.Add(b.get());
  EXPECT_EQ(Step(scheduler), 100);
  EXPECT_EQ(Step(scheduler), 50 + 20);
  EXPECT_EQ(Step(scheduler), 1 + 10);
  EXPECT_EQ(Step(scheduler), 2);
}

TEST(GenerationSchedulerTest, LogitsOfPromptsAreFewInAStep) {
  KvCache cache(200);
  GenerationScheduler scheduler({.step_tokens = 100, .logit_rows = 20}, cache);
  auto a = Sequence(25, 0), b = Sequence(15, 1000), c = Sequence(60, 2000);
  for (ScheduledSequence* s : {a.get(), b.get()}) s->logits = true;
  for (ScheduledSequence* s : {a.get(), b.get(), c.get()}) scheduler.Add(s);
  EXPECT_EQ(Step(scheduler), 20 + 60);
  EXPECT_EQ(Step(scheduler), 1 + 5 + 15);
  EXPECT_EQ(Step(scheduler), 3);
}

TEST(GenerationSchedulerTest, SharesStoredBeginnings) {
  KvCache cache(20);
  GenerationScheduler scheduler({}, cache);
  auto a = Sequence(40, 0), b = Sequence(40, 0), c = Sequence(40, 0);
  c->share_tokens = 0;
  scheduler.Add(a.get());
  EXPECT_EQ(Step(scheduler), 40);
  scheduler.Add(b.get());
  scheduler.Add(c.get());
  EXPECT_EQ(Step(scheduler), 1 + 8 + 40);
  EXPECT_EQ(b->shared_tokens, 32);
  EXPECT_EQ(c->shared_tokens, 0);
}

TEST(GenerationSchedulerTest, TheLastOneGivesItsPagesBackAndComesAgain) {
  KvCache cache(4);
  GenerationScheduler scheduler({}, cache);
  auto a = Sequence(20, 0), b = Sequence(14, 1000);
  scheduler.Add(a.get());
  Step(scheduler);
  scheduler.Add(b.get());
  while (b->preemptions == 0) ASSERT_GT(Step(scheduler), 0);
  EXPECT_EQ(a->preemptions, 0);
  EXPECT_EQ(scheduler.waiting(), 1);
  EXPECT_EQ(scheduler.preemptions(), 1);
  const size_t tokens = b->ids.size();
  scheduler.Remove(a.get());
  Step(scheduler);
  EXPECT_EQ(b->ids.size(), tokens + 1);  // computed again, then one more
  EXPECT_EQ(b->pages.stored, static_cast<int>(tokens));
}

TEST(GenerationSchedulerTest, WhatCanNeverFitIsRefused) {
  KvCache cache(4);
  GenerationScheduler scheduler({}, cache);
  EXPECT_TRUE(scheduler.Check(64).ok());
  EXPECT_THAT(scheduler.Check(65).message(),
              testing::HasSubstr("65 tokens of prompt and answer, the cache has room for 64"));
  EXPECT_EQ(scheduler.Check(65, /*answers=*/false).message(), "prompt has 65 tokens, the cache has room for 64");
}

TEST(GenerationSchedulerTest, WhatIsOnlyReadMayFillTheCache) {
  KvCache cache(4);
  GenerationScheduler scheduler({}, cache);
  auto a = Sequence(64, 0), b = Sequence(10, 1000);
  a->answers = false;
  ASSERT_TRUE(scheduler.Check(64, a->answers).ok());
  scheduler.Add(a.get());
  scheduler.Add(b.get());
  ASSERT_EQ(scheduler.Plan().size(), 1u);
  scheduler.Done();
  EXPECT_EQ(a->pages.stored, 64);
  scheduler.Remove(a.get());
  EXPECT_EQ(Step(scheduler), 10);
}

TEST(GenerationSchedulerTest, ThePausedGiveTheirPagesAndTheirPlace) {
  KvCache cache(6);
  GenerationScheduler scheduler({.max_sequences = 1}, cache);
  auto a = Sequence(50, 0), b = Sequence(60, 1000);
  scheduler.Add(a.get());
  Step(scheduler);
  scheduler.Add(b.get());
  EXPECT_EQ(Step(scheduler), 1);  // one at a time
  a->paused = true;
  EXPECT_EQ(scheduler.running(), 0);
  EXPECT_EQ(Step(scheduler), 60);
  EXPECT_EQ(a->preemptions, 1);
  EXPECT_EQ(b->preemptions, 0);
  b->paused = true;
  EXPECT_EQ(Step(scheduler), 0);
  EXPECT_EQ(scheduler.waiting(), 1);
  EXPECT_EQ(scheduler.waiting_tokens(), 52);
  a->paused = false;
  EXPECT_GT(Step(scheduler), 0);  // a again, with b's pages
  EXPECT_EQ(b->preemptions, 1);
  scheduler.Remove(a.get());
  scheduler.Remove(b.get());
  EXPECT_EQ(cache.used(), 0);
  EXPECT_EQ(scheduler.waiting_tokens(), 0);
}

// Random arrivals, clients, lengths, cancels, pauses and pool sizes with a model that needs no time: everything that is
// not cancelled finishes, once, in bounded steps; nobody starves; the first that runs goes on; pages add up after every
// step; those of a client that never pause come in order.
TEST(GenerationSchedulerTest, EverythingFinishesAndPagesAddUp) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); };
    KvCache cache(2 + pick(40));
    const SchedulerOptions options{
        .max_sequences = 1 + pick(12), .step_tokens = 16 + pick(100), .prompt_tokens_beside_decoding = 1 + pick(40)};
    GenerationScheduler scheduler(options, cache);
    struct Life {
      std::unique_ptr<ScheduledSequence> sequence;
      size_t end;  // tokens in all
    };
    std::vector<Life> lives;  // in the order of arrival
    const int clients = 1 + pick(4);
    int left = 60, finished = 0, cancelled = 0;
    for (int step = 0; left > 0 || !lives.empty(); ++step) {
      ASSERT_LT(step, 200000) << "seed " << seed;
      if (left > 0 && pick(3) == 0) {
        const int most = cache.pages() * KvCache::kTokens;
        const int prompt = 1 + pick(std::min(most - 1, 200));
        Life life{Sequence(prompt, pick(2) * 500), static_cast<size_t>(prompt + 1 + pick(std::min(most - prompt, 60)))};
        if (pick(4) == 0) life.sequence->share_tokens = pick(40);
        life.sequence->logits = pick(3) == 0;
        life.sequence->client = pick(clients);
        ASSERT_TRUE(scheduler.Check(static_cast<int>(life.end)).ok());
        scheduler.Add(life.sequence.get());
        lives.push_back(std::move(life));
        --left;
      }
      if (!lives.empty() && pick(50) == 0) {
        const size_t i = pick(static_cast<int>(lives.size()));
        scheduler.Remove(lives[i].sequence.get());
        lives.erase(lives.begin() + static_cast<std::ptrdiff_t>(i));
        ++cancelled;
      }
      const bool pausing = seed % 2 == 1;
      if (pausing && !lives.empty()) lives[pick(static_cast<int>(lives.size()))].sequence->paused = pick(2) == 0;
      const bool idle = std::all_of(lives.begin(), lives.end(), [](const Life& l) { return l.sequence->paused; });
      const ScheduledSequence* first = nullptr;
      for (const Life& life : lives) {
        const ScheduledSequence* of = life.sequence.get();
        if (of->running && !of->paused && (first == nullptr || of->number < first->number)) first = of;
      }
      const int preemptions = first == nullptr ? 0 : first->preemptions;
      const std::vector<ScheduledWork> plan = scheduler.Plan();
      ASSERT_TRUE(first == nullptr || (first->running && first->preemptions == preemptions)) << "seed " << seed;
      ASSERT_EQ(plan.empty(), idle) << "seed " << seed << " step " << step;
      std::map<uint64_t, bool> waits;  // some of the client that were never admitted
      for (const Life& life : lives) {
        bool& before = waits[life.sequence->client];
        ASSERT_TRUE(pausing || !before || life.sequence->number < 0) << "seed " << seed << ": overtaken by its own";
        before |= life.sequence->number < 0;
      }
      int rows = 0, logit_rows = 0;
      std::set<const ScheduledSequence*> planned;
      for (const ScheduledWork& work : plan) {
        ASSERT_TRUE(planned.insert(work.sequence).second);
        ASSERT_TRUE(work.sequence->running);
        ASSERT_EQ(work.begin, work.sequence->pages.stored);
        ASSERT_GT(work.count, 0);
        ASSERT_FALSE(work.sequence->paused);
        if (work.sequence->logits) logit_rows += work.count;
        ASSERT_LE(KvCache::PagesFor(work.begin + work.count), static_cast<int>(work.sequence->pages.table.size()));
        rows += work.count;
      }
      ASSERT_LE(rows, options.step_tokens);
      ASSERT_LE(logit_rows, options.logit_rows);
      ASSERT_TRUE(pausing || scheduler.running() <= options.max_sequences);
      scheduler.Done();
      for (const ScheduledWork& work : plan) {
        if (work.begin + work.count == static_cast<int>(work.sequence->ids.size())) {
          work.sequence->ids.push_back(pick(3));
        }
      }
      std::erase_if(lives, [&](const Life& life) {
        if (life.sequence->ids.size() < life.end) return false;
        scheduler.Remove(life.sequence.get());
        ++finished;
        return true;
      });
      std::vector<const KvCache::Sequence*> all;
      for (const Life& life : lives) all.push_back(&life.sequence->pages);
      ASSERT_TRUE(cache.Consistent(all)) << "seed " << seed << " step " << step;
    }
    EXPECT_EQ(finished + cancelled, 60);
    EXPECT_EQ(cache.used(), 0);
    EXPECT_EQ(scheduler.waiting_tokens(), 0);
  }
}

}  // namespace
}  // namespace attnd
