// Attention over pages against its definition in double: decoding rows, chunks, windows, long contexts, every element
// type of the pages.
#include "core/ops/paged_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "core/base/cpu.h"
#include "tests/core/ops/on_every_target.h"

namespace attnd {
namespace {

struct Case {
  int head_dim, heads, first, rows, window;
};

// One sequence of random keys and values in pages that lie in random order.
class Sequence {
 public:
  Sequence(const Case& c, KvType type, uint32_t seed)
      : c_(c),
        random_(seed),
        keys_(c.first + c.rows),
        pages_({.layers = 2, .key_heads = 2, .head_dim = c.head_dim, .type = type}, keys_ / KvPages::kTokens + 3),
        table_(pages_.pages()) {
    std::iota(table_.begin(), table_.end(), 0);
    std::shuffle(table_.begin(), table_.end(), random_);
    key_ = Random(keys_ * Width());
    value_ = Random(keys_ * Width());
    query_ = Random((c.rows + 8) * Stride());
    output_.assign((c.rows + 8) * Stride(), -7.0f);
    // In two pieces, as two steps would.
    const int cut = keys_ / 3;
    for (int head = 0; head < 2; ++head) {
      for (const auto& [begin, end] : {std::pair(0, cut), std::pair(cut, keys_)}) {
        pages_.Write(1, head, table_.data(), begin, end - begin, key_.data() + begin * Width() + head * c.head_dim,
                     value_.data() + begin * Width() + head * c.head_dim, Width());
      }
    }
  }

  void Check(bool look, double tolerance) {
    const int head_dim = c_.head_dim;
    const PagedHeads heads = {.query = query_.data(),
                              .output = output_.data(),
                              .query_stride = Stride(),
                              .output_stride = Stride(),
                              .heads = c_.heads,
                              .rows = c_.rows,
                              .pages = &pages_,
                              .layer = 1,
                              .key_head = 1,
                              .table = table_.data(),
                              .first = c_.first,
                              .window = c_.window,
                              .scale = 0.3f};
    std::vector<float> seen(size_t(c_.heads) * c_.rows * keys_, -1.0f);
    std::vector<bool> rows_seen(size_t(c_.heads) * c_.rows);
    const auto see = [&](int head, int begin, int rows, const float* p, int stride, int keys) {
      ASSERT_EQ(keys, keys_);
      for (int r = 0; r < rows; ++r) {
        const size_t at = size_t(head) * c_.rows + begin + r;
        ASSERT_FALSE(rows_seen[at]) << "row seen twice";
        std::copy(p + r * stride, p + r * stride + keys, seen.begin() + at * keys_);
        rows_seen[at] = true;
      }
    };
    const PagedProbabilityFn fn = see;
    PagedScratch scratch;
    const int middle = c_.rows / 2;
    AttendPaged(heads, 0, middle, scratch, look ? &fn : nullptr, keys_);
    AttendPaged(heads, middle, c_.rows, scratch, look ? &fn : nullptr, keys_);
    for (int h = 0; h < c_.heads; ++h) {
      for (int r = 0; r < c_.rows; ++r) {
        const int position = c_.first + r;
        const int begin = c_.window > 0 ? std::max(0, position + 1 - c_.window) : 0;
        std::vector<double> p(keys_, 0);
        double sum = 0;
        for (int k = begin; k <= position; ++k) {
          double score = 0;
          for (int d = 0; d < head_dim; ++d) {
            score += double{query_[r * Stride() + h * head_dim + d]} * key_[k * Width() + head_dim + d];
          }
          sum += p[k] = std::exp(0.3 * score);
        }
        for (double& x : p) x /= sum;
        for (int d = 0; d < head_dim; ++d) {
          double expected = 0;
          for (int k = begin; k <= position; ++k) expected += p[k] * value_[k * Width() + head_dim + d];
          ASSERT_NEAR(output_[r * Stride() + h * head_dim + d], expected, tolerance) << h << " " << r << " " << d;
        }
        if (!look) continue;
        const size_t at = size_t(h) * c_.rows + r;
        ASSERT_TRUE(rows_seen[at]);
        for (int k = 0; k < keys_; ++k) ASSERT_NEAR(seen[at * keys_ + k], p[k], tolerance) << h << " " << r << " " << k;
      }
    }
    for (int r = c_.rows; r < c_.rows + 8; ++r) ASSERT_EQ(output_[r * Stride()], -7.0f);
  }

  const std::vector<float>& output() const { return output_; }

 private:
  int64_t Width() const { return 2 * c_.head_dim; }
  int64_t Stride() const { return c_.heads * c_.head_dim + 16; }
  std::vector<float> Random(size_t size) {
    std::normal_distribution<float> normal(0, 1);
    std::vector<float> values(size);
    for (float& value : values) value = normal(random_);
    return values;
  }

  const Case c_;
  std::mt19937 random_;
  const int keys_;
  KvPages pages_;
  std::vector<int32_t> table_;
  std::vector<float> key_, value_;     // [keys, 2, head_dim]
  std::vector<float> query_, output_;  // [rows + 8, stride]
};

const Case kCases[] = {
    {16, 1, 0, 1, 0},   {16, 2, 0, 5, 0},   {64, 3, 0, 70, 0},   {64, 3, 37, 1, 0},   {64, 3, 100, 3, 0},
    {32, 5, 64, 33, 0}, {20, 7, 15, 18, 0}, {96, 1, 30, 90, 0},  {128, 4, 47, 17, 0}, {80, 2, 5, 40, 12},
    {64, 3, 60, 1, 16}, {64, 3, 61, 1, 5},  {64, 3, 0, 140, 24}, {16, 6, 200, 2, 17}, {64, 1, 3, 1, 1},
};

double Tolerance(KvType type) { return type == KvType::kF32 ? 2e-5 : type == KvType::kBf16 ? 3e-2 : 8e-2; }

TEST(PagedAttentionTest, IsItsDefinition) {
  OnEveryTarget([] {
    for (const KvType type : {KvType::kF32, KvType::kBf16, KvType::kInt8}) {
      for (const Case& c : kCases) {
        for (const bool look : {false, true}) {
          SCOPED_TRACE(testing::Message()
                       << "type " << static_cast<int>(type) << " dim " << c.head_dim << " heads " << c.heads
                       << " first " << c.first << " rows " << c.rows << " window " << c.window << " look " << look);
          Sequence(c, type, 5).Check(look, Tolerance(type));
          if (testing::Test::HasFatalFailure()) return;
        }
      }
    }
  });
}

// An answer must not become another one because its attention is asked for.
TEST(PagedAttentionTest, OutputIsTheSameWhereSomebodyLooks) {
  OnEveryTarget([] {
    for (const KvType type : {KvType::kF32, KvType::kBf16, KvType::kInt8}) {
      for (const Case& c : kCases) {
        Sequence unseen(c, type, 7), seen(c, type, 7);
        unseen.Check(/*look=*/false, Tolerance(type));
        seen.Check(/*look=*/true, Tolerance(type));
        EXPECT_EQ(unseen.output(), seen.output()) << "dim " << c.head_dim << " first " << c.first << " rows " << c.rows;
      }
    }
  });
}

TEST(PagedAttentionTest, LongContexts) {
  for (const Case& c : {Case{32, 2, 1500, 70, 0}, Case{32, 2, 4200, 20, 0}, Case{16, 1, 2000, 100, 1300}}) {
    for (const bool look : {false, true}) {
      Sequence(c, KvType::kF32, 6).Check(look, 2e-5);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(PagedAttentionTest, LongContextsOfNarrowPages) {
  for (const KvType type : {KvType::kBf16, KvType::kInt8}) {
    for (const bool look : {false, true}) {
      Sequence({32, 3, 1500, 70, 0}, type, 6).Check(look, Tolerance(type));
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(PagedAttentionTest, ScratchDoesNotGrowWithTheSquareOfTheContext) {
  const Case c{16, 1, 0, 3000, 0};
  PagedScratch scratch;
  KvPages pages({.layers = 1, .key_heads = 1, .head_dim = 16}, 200);
  std::vector<int32_t> table(200);
  std::iota(table.begin(), table.end(), 0);
  std::vector<float> rows((c.rows + 8) * 16, 0.1f), output(rows.size());
  pages.Write(0, 0, table.data(), 0, c.rows, rows.data(), rows.data(), 16);
  AttendPaged({.query = rows.data(),
               .output = output.data(),
               .query_stride = 16,
               .output_stride = 16,
               .heads = 1,
               .rows = c.rows,
               .pages = &pages,
               .table = table.data(),
               .scale = 1},
              0, c.rows, scratch, nullptr, 0);
  EXPECT_LE(scratch.scores.size(), 64u * 1040);
  EXPECT_NEAR(output[2999 * 16], 0.1f, 1e-5);
}

TEST(KvPagesTest, BytesAreAsCounted) {
  EXPECT_EQ(KvPages::BytesPerPage({.layers = 30, .key_heads = 3, .head_dim = 64}), 30 * 3 * 2 * 16 * 64 * 4);
  EXPECT_EQ(KvPages::BytesPerPage({.layers = 1, .key_heads = 1, .head_dim = 64, .type = KvType::kInt8}),
            2 * 16 * 64 + 2 * 16 * 4);
}

}  // namespace
}  // namespace attnd
