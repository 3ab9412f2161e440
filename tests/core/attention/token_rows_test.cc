#include "core/attention/token_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/attention/recorder.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatNear;

void Show(AttentionSink& sink, int layer, int head, int query, std::vector<float> row) {
  sink.Tile({.layer = layer,
             .head = head,
             .query_begin = query,
             .query_count = 1,
             .key_count = static_cast<int>(row.size()),
             .probabilities = row.data(),
             .stride = static_cast<int>(row.size())});
}

TEST(TokenRowsTest, KeepsTheNewestRowOfSelectedHeads) {
  TokenRows rows(HeadSelection::Parse("L1H0,L1H1", 2, 2).value(), 8);
  EXPECT_EQ(rows.position(), -1);
  EXPECT_FALSE(rows.Wants(0, 0));
  EXPECT_TRUE(rows.Wants(1, 1));
  // A tile of three rows: the last one, of its own columns only.
  const std::vector<float> tile = {1, 0, 0, 0.5f, 0.5f, 0, 0.2f, 0.3f, 0.5f};
  rows.Tile({.layer = 1,
             .head = 0,
             .query_begin = 0,
             .query_count = 3,
             .key_count = 3,
             .probabilities = tile.data(),
             .stride = 3});
  Show(rows, 1, 1, 2, {0.4f, 0.3f, 0.3f});
  EXPECT_EQ(rows.position(), 2);
  EXPECT_THAT(rows.Row(0), ElementsAre(0.2f, 0.3f, 0.5f));
  EXPECT_THAT(rows.MeanRow(), ElementsAre(FloatNear(0.3f, 1e-6), FloatNear(0.3f, 1e-6), FloatNear(0.4f, 1e-6)));
  Show(rows, 1, 0, 3, {0.1f, 0.2f, 0.3f, 0.4f});
  EXPECT_EQ(rows.position(), 3);
  EXPECT_THAT(rows.Row(0), ElementsAre(0.1f, 0.2f, 0.3f, 0.4f));
}

TEST(TokenRowsTest, StatisticsAreTheirFormulas) {
  TokenRows rows(HeadSelection::All(1, 1), 8);
  Show(rows, 0, 0, 3, {0.5f, 0.25f, 0.25f, 0});
  const std::vector<int32_t> ids = {7, 8, 7, 9};
  const TokenRowStatistics of = rows.Statistics(0, ids, 2, 7);
  EXPECT_NEAR(of.entropy, 0.5 * std::log(2) + 0.5 * std::log(4), 1e-6);
  EXPECT_EQ(of.sink_mass, 0.5f);
  EXPECT_NEAR(of.lookback_ratio, 0.375 / (0.375 + 0.125), 1e-6);
  EXPECT_NEAR(of.copy_mass, 0.75, 1e-6);
  EXPECT_EQ(rows.Statistics(0, ids, 4, 1).lookback_ratio, 1.0f);  // nothing but prompt yet
  EXPECT_EQ(rows.Statistics(0, ids, 4, 1).copy_mass, 0.0f);
}

TEST(TokenRowsTest, StatisticsOfLongRowsAreTheirFormulas) {
  std::mt19937 random(3);
  for (int columns : {1, 15, 16, 17, 33, 100}) {
    std::vector<float> row(columns);
    std::vector<int32_t> ids(columns);
    float total = 0;
    for (int k = 0; k < columns; ++k) total += row[k] = std::uniform_real_distribution<float>(0, 1)(random);
    for (int k = 0; k < columns; ++k) ids[k] = static_cast<int32_t>(random() % 5);
    const int prompt = 1 + columns / 3;
    double entropy = 0, copied = 0, of_prompt = 0, of_answer = 0;
    for (int k = 0; k < columns; ++k) {
      const double p = row[k] /= total;
      entropy -= p * std::log(p);
      if (ids[k] == 2) copied += p;
      (k < prompt ? of_prompt : of_answer) += p;
    }
    of_prompt /= std::min(prompt, columns);
    of_answer /= std::max(1, columns - prompt);
    const TokenRowStatistics of = StatisticsOf(row, ids, prompt, 2);
    EXPECT_NEAR(of.entropy, entropy, 2e-6) << columns;
    EXPECT_NEAR(of.copy_mass, copied, 1e-6) << columns;
    EXPECT_NEAR(of.lookback_ratio, of_prompt / (of_prompt + of_answer), 1e-6) << columns;
  }
}

// Rows of a growing sequence, some of them twice, as a recorder of whole maps wants them.
TEST(WholeRowsTest, RecorderTakesRowsThatGrow) {
  constexpr int kTokens = 4;
  const std::vector<uint8_t> special(kTokens, 0);
  const std::vector<int32_t> words(kTokens, -1);
  auto plan =
      AttentionPlan::Make({}, {.layers = 1, .heads = 1, .tokens = kTokens, .special = special, .word_ids = words});
  ASSERT_TRUE(plan.ok()) << plan.status();
  AttentionRecorder recorder(*plan);
  WholeRows whole(recorder, 1, 1, kTokens, {0, kTokens});
  EXPECT_TRUE(whole.Wants(0, 0));
  const std::vector<float> two = {1, 0, 0.25f, 0.75f};
  whole.Tile({.layer = 0,
              .head = 0,
              .query_begin = 0,
              .query_count = 2,
              .key_count = 2,
              .probabilities = two.data(),
              .stride = 2});
  Show(whole, 0, 0, 2, {0.5f, 0.25f, 0.25f});
  Show(whole, 0, 0, 2, {9, 9, 9});  // computed again
  Show(whole, 0, 0, 3, {0.25f, 0.25f, 0.25f, 0.25f});
  Show(whole, 0, 0, 4, {1, 1, 1, 1, 1});  // beyond
  auto result = recorder.Finish();
  ASSERT_TRUE(result.ok()) << result.status();
  std::vector<float> map(kTokens * kTokens);
  ASSERT_EQ(result->bytes().size(), map.size() * sizeof(float));
  std::memcpy(map.data(), result->bytes().data(), result->bytes().size());
  EXPECT_THAT(map, ElementsAre(1, 0, 0, 0, 0.25f, 0.75f, 0, 0, 0.5f, 0.25f, 0.25f, 0, 0.25f, 0.25f, 0.25f, 0.25f));
}

}  // namespace
}  // namespace attnd
