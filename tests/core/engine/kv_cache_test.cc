#include "core/engine/kv_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

namespace attnd {
namespace {

std::vector<int32_t> Tokens(int count, int32_t first = 0) {
  std::vector<int32_t> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

TEST(KvCacheTest, TakesAndGivesBack) {
  KvCache cache(4);
  KvCache::Sequence a, b;
  EXPECT_TRUE(cache.Reserve(17, a));
  EXPECT_EQ(a.table.size(), 2u);
  EXPECT_EQ(cache.available(), 2);
  EXPECT_FALSE(cache.Reserve(33, b));
  EXPECT_TRUE(b.table.empty());
  EXPECT_TRUE(cache.Reserve(32, b));
  EXPECT_FALSE(cache.Reserve(33, a));
  EXPECT_TRUE(cache.Reserve(32, a));  // fits the pages it has
  cache.Release(a);
  EXPECT_EQ(cache.available(), 2);
  EXPECT_EQ(cache.used(), 2);
}

TEST(KvCacheTest, SharesFullPagesOfTheSameBeginningButNeverTheLastToken) {
  KvCache cache(8);
  KvCache::Sequence a, b, c, d;
  const std::vector<int32_t> ids = Tokens(40);
  ASSERT_TRUE(cache.Reserve(40, a));
  cache.Store(ids, a);
  EXPECT_EQ(cache.Share(ids, b), 32);
  EXPECT_EQ(b.table[0], a.table[0]);
  EXPECT_EQ(b.table[1], a.table[1]);
  EXPECT_EQ(cache.Share(Tokens(32), c), 16);  // one token must be left to compute
  std::vector<int32_t> other = ids;
  other[3] = 99;
  EXPECT_EQ(cache.Share(other, d), 0);  // the second page is equal, what is before it is not
  EXPECT_EQ(cache.shared_tokens(), 48);
}

TEST(KvCacheTest, KeepsContentUntilThePageIsNeeded) {
  KvCache cache(4);
  KvCache::Sequence a, b, c;
  ASSERT_TRUE(cache.Reserve(48, a));
  cache.Store(Tokens(48), a);
  cache.Release(a);
  EXPECT_EQ(cache.available(), 4);
  ASSERT_TRUE(cache.Reserve(32, b));  // the free page and the end of the text
  EXPECT_EQ(cache.Share(Tokens(48), c), 32);
  cache.Release(c);
  ASSERT_TRUE(cache.Reserve(64, b));
  EXPECT_EQ(cache.Share(Tokens(48), c), 0);
}

TEST(KvCacheTest, TwoThatComputedTheSameAreBothRight) {
  KvCache cache(8);
  KvCache::Sequence a, b, c;
  ASSERT_TRUE(cache.Reserve(40, a) && cache.Reserve(40, b));
  cache.Store(Tokens(16), a);
  cache.Store(Tokens(32), b);  // its first page is known as a's, its second as its own
  EXPECT_EQ(cache.Share(Tokens(40), c), 32);
  EXPECT_EQ(c.table[0], a.table[0]);
  EXPECT_EQ(c.table[1], b.table[1]);
  const KvCache::Sequence* all[] = {&a, &b, &c};
  EXPECT_TRUE(cache.Consistent(all));
}

// Random lives of sequences over a small vocabulary, with the tokens that each page really holds kept beside.
TEST(KvCacheTest, NeverLeaksAndNeverSharesWrongly) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); };
    const int pages = 1 + pick(24);
    KvCache cache(pages);
    std::vector<std::vector<int32_t>> content(pages, std::vector<int32_t>(KvCache::kTokens, -1));  // [pages, 16]
    struct Life {
      KvCache::Sequence sequence;
      std::vector<int32_t> ids;
    };
    std::vector<std::unique_ptr<Life>> lives;
    for (int step = 0; step < 1500; ++step) {
      const int action = pick(10);
      if (action < 3) {
        auto life = std::make_unique<Life>();
        life->ids.resize(1 + pick(90));
        const int alphabet = 1 + pick(2);
        for (int32_t& id : life->ids) id = pick(8) == 0 ? pick(alphabet + 1) : 0;
        const int shared = cache.Share(life->ids, life->sequence);
        ASSERT_LT(shared, static_cast<int>(life->ids.size()));
        for (int t = 0; t < shared; ++t) {
          const int32_t page = life->sequence.table[t / KvCache::kTokens];
          ASSERT_EQ(content[page][t % KvCache::kTokens], life->ids[t]) << "seed " << seed << " step " << step;
        }
        lives.push_back(std::move(life));
      } else if (lives.empty()) {
        continue;
      } else if (const size_t i = pick(static_cast<int>(lives.size())); action < 8) {
        Life& life = *lives[i];
        const int stored = life.sequence.stored;
        if (stored == static_cast<int>(life.ids.size())) life.ids.push_back(pick(2));  // decoding
        const int now = stored + 1 + pick(static_cast<int>(life.ids.size()) - stored);
        if (!cache.Reserve(now, life.sequence)) continue;
        for (int t = stored; t < now; ++t) {
          const int32_t page = life.sequence.table[t / KvCache::kTokens];
          content[page][t % KvCache::kTokens] = life.ids[t];
        }
        cache.Store(absl::MakeConstSpan(life.ids).subspan(0, now), life.sequence);
      } else {
        cache.Release(lives[i]->sequence);
        lives.erase(lives.begin() + static_cast<std::ptrdiff_t>(i));
      }
      std::vector<const KvCache::Sequence*> all;
      for (const auto& life : lives) {
        all.push_back(&life->sequence);
        // Nobody overwrote what a sequence holds.
        for (int t = 0; t < life->sequence.stored; ++t) {
          const int32_t page = life->sequence.table[t / KvCache::kTokens];
          ASSERT_EQ(content[page][t % KvCache::kTokens], life->ids[t]) << "seed " << seed << " step " << step;
        }
      }
      ASSERT_TRUE(cache.Consistent(all)) << "seed " << seed << " step " << step;
    }
    for (const auto& life : lives) cache.Release(life->sequence);
    EXPECT_EQ(cache.available(), pages);
  }
}

}  // namespace
}  // namespace attnd
