// Drafts in the scheduler: they take what nobody else wants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/core/engine/scheduler_testing.h"

namespace attnd {
namespace {

TEST(GenerationDraftsTest, ComeAfterDecodingAndPrompts) {
  KvCache cache(200);
  GenerationScheduler scheduler({.step_tokens = 100, .prompt_tokens_beside_decoding = 10, .draft_rows = 6}, cache);
  auto a = Sequence(5, 0), b = Sequence(4, 1000), c = Sequence(26, 2000);
  scheduler.Add(a.get());
  scheduler.Add(b.get());
  a->drafts = b->drafts = 8;
  EXPECT_EQ(Step(scheduler), 9);
  const auto drafts = [&] {
    const std::vector<ScheduledWork> plan = scheduler.Plan();
    std::vector<int> all;
    for (const ScheduledWork& work : plan) all.push_back(work.drafts);
    scheduler.Done();
    for (const ScheduledWork& work : plan) {
      if (work.sequence->pending() == 0) work.sequence->ids.push_back(7);
    }
    return all;
  };
  EXPECT_THAT(drafts(), testing::ElementsAre(3, 3));  // evenly
  b->drafts = 1;
  EXPECT_THAT(drafts(), testing::ElementsAre(5, 1));
  scheduler.Add(c.get());
  EXPECT_THAT(drafts(), testing::ElementsAre(0, 0, 0));  // 10 rows of a prompt
  EXPECT_THAT(drafts(), testing::ElementsAre(0, 0, 0));
  EXPECT_THAT(drafts(), testing::ElementsAre(3, 1, 0));  // 6
  a->drafts = b->drafts = 0;
  EXPECT_THAT(drafts(), testing::ElementsAre(0, 0, 0));
}

TEST(GenerationDraftsTest, KeptOnesAreSharedAndRefusedOnesGiveTheirPagesBack) {
  KvCache cache(20);
  GenerationScheduler scheduler({}, cache);
  auto a = Sequence(15, 0), b = Sequence(40, 0);
  scheduler.Add(a.get());
  Step(scheduler);  // 15 stored, one more to compute
  a->drafts = 20;
  ASSERT_EQ(scheduler.Plan()[0].drafts, 20);
  EXPECT_EQ(a->pages.table.size(), 3u);
  scheduler.Done();
  EXPECT_EQ(a->pages.stored, 16);
  for (int32_t id : {16, 17, 18}) a->ids.push_back(id);  // two drafts were right
  scheduler.Keep(a.get(), 18);
  EXPECT_EQ(a->pending(), 1);
  a->drafts = 0;
  ASSERT_EQ(scheduler.Plan().size(), 1u);
  EXPECT_EQ(scheduler.Plan()[0].begin, 18);
  EXPECT_EQ(a->pages.table.size(), 2u);
  scheduler.Done();
  a->ids.push_back(19);
  b->ids = a->ids;
  scheduler.Add(b.get());
  scheduler.Plan();
  EXPECT_EQ(b->shared_tokens, 16);  // the whole page, and nothing of what was refused
  EXPECT_EQ(cache.used(), 3);
}

TEST(GenerationDraftsTest, NoPageThatAnotherAwaits) {
  KvCache cache(5);
  GenerationScheduler scheduler({}, cache);
  auto a = Sequence(15, 0), b = Sequence(15, 1000);
  scheduler.Add(a.get());
  scheduler.Add(b.get());
  Step(scheduler);
  a->drafts = b->drafts = 8;
  for (const ScheduledWork& work : scheduler.Plan()) EXPECT_EQ(work.drafts, work.sequence == a.get() ? 8 : 0);
  scheduler.Done();
  a->ids.push_back(7);
  b->ids.push_back(7);
  auto c = Sequence(40, 2000);  // does not fit
  scheduler.Add(c.get());
  for (const ScheduledWork& work : scheduler.Plan()) EXPECT_EQ(work.drafts, 8) << "in their own pages";
  EXPECT_EQ(cache.used(), 4);
  EXPECT_EQ(scheduler.waiting(), 1);
}

// The same random arrivals with and without drafts, all of them refused: the same rows in the same steps, the same
// preemptions. With `accepting`, some are right: everything finishes, and pages add up.
struct World {
  void Run(uint32_t seed, bool drafting, bool accepting) {
    std::mt19937 random(seed), of_drafts(seed + 1);
    const auto draw = [](std::mt19937& from, int below) {
      return std::uniform_int_distribution<int>(0, below - 1)(from);
    };
    const auto pick = [&](int below) { return draw(random, below); };
    KvCache cache(4 + pick(30));
    const SchedulerOptions options{.max_sequences = 1 + pick(12),
                                   .step_tokens = 16 + pick(60),
                                   .prompt_tokens_beside_decoding = 1 + pick(40),
                                   .draft_rows = 1 + pick(40)};
    GenerationScheduler scheduler(options, cache);
    struct Life {
      std::unique_ptr<ScheduledSequence> sequence;
      size_t end;
    };
    std::vector<Life> lives;
    int32_t next = 0;  // no two tokens are the same unless sequences may share
    for (int step = 0, left = 40; left > 0 || !lives.empty(); ++step) {
      ASSERT_LT(step, 100000) << "seed " << seed;
      if (left > 0 && pick(3) == 0) {
        const int most = cache.pages() * KvCache::kTokens, prompt = 1 + pick(std::min(most - 1, 120));
        Life life{Sequence(prompt, accepting ? 0 : next),
                  static_cast<size_t>(prompt + 1 + pick(std::min(most - prompt, 60)))};
        next += prompt;
        life.sequence->client = pick(3);
        life.sequence->share_tokens = accepting ? 1 << 30 : 0;
        scheduler.Add(life.sequence.get());
        lives.push_back(std::move(life));
        --left;
      }
      if (!lives.empty() && pick(9) == 0) lives[pick(static_cast<int>(lives.size()))].sequence->paused = pick(2) == 0;
      if (left == 0) {
        for (Life& life : lives) life.sequence->paused = false;
      }
      for (Life& life : lives) {
        const int remaining = static_cast<int>(life.end - life.sequence->ids.size());
        life.sequence->drafts =
            drafting && life.sequence->pending() == 1 ? std::min(draw(of_drafts, 20), remaining - 1) : 0;
      }
      const std::vector<ScheduledWork> plan = scheduler.Plan();
      int rows = 0, tried = 0;
      for (const ScheduledWork& work : plan) {
        log += absl::StrCat(work.sequence->number, ":", work.begin, "+", work.count, " ");
        rows += work.count + work.drafts;
        tried += work.drafts;
        ASSERT_LE(work.drafts, work.sequence->drafts);
        ASSERT_TRUE(work.drafts == 0 || work.sequence->pending() == 1);
        ASSERT_LE(KvCache::PagesFor(work.begin + work.count + work.drafts),
                  static_cast<int>(work.sequence->pages.table.size()));
      }
      log += absl::StrCat("| ", scheduler.preemptions(), "\n");
      ASSERT_LE(rows, options.step_tokens);
      ASSERT_LE(tried, options.draft_rows);
      drafted += tried;
      scheduler.Done();
      for (const ScheduledWork& work : plan) {
        std::vector<int32_t>& ids = work.sequence->ids;
        if (work.begin + work.count < static_cast<int>(ids.size())) continue;
        for (int right = accepting ? draw(of_drafts, work.drafts + 1) : 0; right >= 0; --right) {
          scheduler.Keep(work.sequence, static_cast<int>(ids.size()));
          ids.push_back(accepting ? draw(of_drafts, 2) : next++);
        }
        ASSERT_EQ(work.sequence->pending(), 1);
      }
      std::erase_if(lives, [&](const Life& life) {
        if (life.sequence->ids.size() < life.end) return false;
        scheduler.Remove(life.sequence.get());
        return true;
      });
      std::vector<const KvCache::Sequence*> all;
      for (const Life& life : lives) all.push_back(&life.sequence->pages);
      ASSERT_TRUE(cache.Consistent(all)) << "seed " << seed << " step " << step;
    }
    EXPECT_EQ(cache.used(), 0);
  }
  std::string log;
  int64_t drafted = 0;
};

TEST(GenerationDraftsTest, RefusedOnesChangeNothing) {
  int64_t drafted = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    World with, without;
    with.Run(seed, /*drafting=*/true, /*accepting=*/false);
    without.Run(seed, /*drafting=*/false, /*accepting=*/false);
    ASSERT_EQ(with.log, without.log) << "seed " << seed;
    drafted += with.drafted;
  }
  EXPECT_GT(drafted, 10000);
}

TEST(GenerationDraftsTest, WithAcceptedOnesEverythingFinishesAndPagesAddUp) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    World().Run(seed, /*drafting=*/true, /*accepting=*/true);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace attnd
