#include "core/attention/statistics.h"

#include <gtest/gtest.h>

#include "core/attention/recorder.h"
#include "core/attention/statistics_kernel.h"
#include "hwy/targets.h"
#include "tests/core/attention/reference.h"

namespace attnd {
namespace {

AttentionStatistics Record(uint32_t statistics, RandomSequence& sequence, int threads, const char* selection = "*") {
  AttentionSpec spec;
  spec.maps = false;
  spec.statistics = statistics;
  spec.statistics_selection = *HeadSelection::Parse(selection, sequence.layers(), sequence.heads());
  auto plan = AttentionPlan::Make(spec, sequence.Inputs());
  EXPECT_TRUE(plan.ok()) << plan.status();
  AttentionRecorder recorder(*plan);
  sequence.Deliver(recorder, threads);
  absl::StatusOr<AttentionResult> result = recorder.Finish();
  EXPECT_TRUE(result.ok()) << result.status();
  const AttentionStatistics& got = result->statistics;
  const size_t numbers = got.entropy.size() + got.mean_entropy.size() + got.confidence.size() + got.distance.size() +
                         got.self.size() + got.previous.size() + got.next.size() + got.special_mass.size() +
                         got.received_mass.size() + got.induction.size() + got.duplicate.size();
  EXPECT_EQ(static_cast<int64_t>(numbers * sizeof(float)), (*plan)->sizes().statistics);
  EXPECT_EQ(result->data.size(), 0u);
  return result->statistics;
}

// One head's statistics, in double, from the formulas.
void ExpectMatches(const AttentionStatistics& got, int index, const Matrix& p, const RandomSequence& sequence,
                   int real_rows) {
  const std::vector<uint8_t>& special = sequence.special();
  const std::vector<int32_t>& ids = sequence.ids();
  const int n = static_cast<int>(p.size());
  std::vector<double> received(n, 0.0);
  double entropy_sum = 0, confidence = 0, distance = 0, mass = 0, self = 0, previous = 0, next = 0, special_mass = 0;
  double induction = 0, duplicate = 0;
  for (int i = 0; i < n; ++i) {
    double entropy = 0;
    for (int j = 0; j < n; ++j) {
      if (p[i][j] > 0) entropy -= p[i][j] * std::log(p[i][j]);
      received[j] += p[i][j];
      distance += p[i][j] * std::abs(i - j);
      mass += p[i][j];
      if (special[j]) special_mass += p[i][j];
      if (j > 0 && j <= i && ids[j - 1] == ids[i]) induction += p[i][j];
      if (j < i && ids[j] == ids[i]) duplicate += p[i][j];
    }
    ASSERT_NEAR(got.entropy[index * n + i], entropy, 5e-6);
    entropy_sum += entropy;
    confidence += *std::max_element(p[i].begin(), p[i].end());
    self += p[i][i];
    if (i > 0) previous += p[i][i - 1];
    if (i + 1 < n) next += p[i][i + 1];
  }
  for (int j = 0; j < n; ++j) ASSERT_NEAR(got.received_mass[index * n + j], received[j], 1e-5);
  ASSERT_NEAR(got.mean_entropy[index], entropy_sum / real_rows, 5e-6);
  ASSERT_NEAR(got.confidence[index], confidence / real_rows, 1e-6);
  ASSERT_NEAR(got.distance[index], distance / mass, 1e-5 * n);
  ASSERT_NEAR(got.self[index], self / real_rows, 1e-6);
  ASSERT_NEAR(got.previous[index], n > 1 ? previous / (real_rows - 1) : 0, 1e-6);
  ASSERT_NEAR(got.next[index], n > 1 ? next / (real_rows - 1) : 0, 1e-6);
  ASSERT_NEAR(got.special_mass[index], special_mass / real_rows, 1e-5);
  ASSERT_NEAR(got.induction[index], induction / mass, 1e-5);
  ASSERT_NEAR(got.duplicate[index], duplicate / mass, 1e-5);
}

TEST(StatisticsTest, AgreeWithTheFormulasOnEveryTargetAndLength) {
  std::vector<int64_t> targets = {0};  // 0: the best of this CPU
  for (const int64_t target : {HWY_AVX2, HWY_SSE2}) {
    if ((hwy::SupportedTargets() & target) != 0) targets.push_back(target);
  }
  for (const int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    for (int tokens = 1; tokens <= 67; ++tokens) {
      RandomSequence sequence(1, 2, tokens, tokens, tokens % 2 == 0 ? 1.0 : 6.0);
      const AttentionStatistics got = Record(kStatAll, sequence, tokens % 3);
      for (int head = 0; head < 2; ++head) {
        ExpectMatches(got, head, sequence.HeadMatrix(0, head), sequence, tokens);
        if (HasFatalFailure()) return;
      }
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(StatisticsTest, SelectedHeadsOnlyInTheirOrder) {
  RandomSequence sequence(3, 4, 33, 9);
  const AttentionStatistics got = Record(kStatAll, sequence, 4, "L2H0,L0H3");
  ExpectMatches(got, 0, sequence.HeadMatrix(0, 3), sequence, 33);
  ExpectMatches(got, 1, sequence.HeadMatrix(2, 0), sequence, 33);
}

TEST(StatisticsTest, EachAloneIsWhatAllTogetherGive) {
  RandomSequence sequence(2, 2, 45, 2);
  const AttentionStatistics all = Record(kStatAll, sequence, 0);
  EXPECT_EQ(Record(kStatEntropy, sequence, 0).entropy, all.entropy);
  EXPECT_EQ(Record(kStatMeanEntropy, sequence, 0).mean_entropy, all.mean_entropy);
  EXPECT_EQ(Record(kStatConfidence, sequence, 0).confidence, all.confidence);
  EXPECT_EQ(Record(kStatDistance, sequence, 0).distance, all.distance);
  EXPECT_EQ(Record(kStatSelf, sequence, 0).self, all.self);
  EXPECT_EQ(Record(kStatPrevious, sequence, 0).previous, all.previous);
  EXPECT_EQ(Record(kStatNext, sequence, 0).next, all.next);
  EXPECT_EQ(Record(kStatSpecialMass, sequence, 0).special_mass, all.special_mass);
  EXPECT_EQ(Record(kStatReceivedMass, sequence, 0).received_mass, all.received_mass);
  EXPECT_EQ(Record(kStatInduction, sequence, 0).induction, all.induction);
  EXPECT_EQ(Record(kStatDuplicate, sequence, 0).duplicate, all.duplicate);
}

TEST(StatisticsTest, TheEntropyThatATileBringsIsTaken) {
  constexpr int kTokens = 21;
  RandomSequence sequence(1, 1, kTokens, 8);
  std::vector<float> brought(kTokens);
  for (int i = 0; i < kTokens; ++i) brought[i] = static_cast<float>(i) / 4;
  AttentionTile tile = {.layer = 0,
                        .head = 0,
                        .query_begin = 3,
                        .query_count = 18,
                        .key_count = kTokens,
                        .probabilities = sequence.Head(0, 0) + 3 * kTokens,
                        .stride = kTokens,
                        .entropy = brought.data()};
  for (const bool with_columns : {false, true}) {
    std::vector<float> entropy(18), columns(kTokens), expected_columns(kTokens);
    const TileSums sums = TileStatistics(
        tile, {.entropy = true, .row_entropy = entropy.data(), .columns = with_columns ? columns.data() : nullptr});
    EXPECT_EQ(entropy, std::vector<float>(brought.begin(), brought.begin() + 18));
    EXPECT_EQ(sums.entropy, 17 * 18 / 2 / 4.0);
    AttentionTile without = tile;
    without.entropy = nullptr;
    const TileSums others =
        TileStatistics(without, {.entropy = true, .columns = with_columns ? expected_columns.data() : nullptr});
    EXPECT_EQ(columns, expected_columns);
    EXPECT_EQ(sums.maxima, others.maxima);
    EXPECT_EQ(sums.distance, others.distance);
    EXPECT_EQ(sums.real_rows, others.real_rows);
  }
}

TEST(StatisticsTest, FullyMaskedRowsAreNotAveraged) {
  RandomSequence sequence(1, 1, 10, 4);
  std::fill_n(sequence.Head(0, 0) + 8 * 10, 20, 0.0f);
  const AttentionStatistics got = Record(kStatAll, sequence, 0);
  EXPECT_EQ(got.entropy[9], 0.0f);
  double confidence = 0;
  for (int i = 0; i < 8; ++i)
    confidence += *std::max_element(sequence.Head(0, 0) + i * 10, sequence.Head(0, 0) + i * 10 + 10);
  EXPECT_NEAR(got.confidence[0], confidence / 8, 1e-6);
}

TEST(StatisticsTest, TileOrderAndSizeHardlyShow) {
  RandomSequence sequence(2, 4, 64, 6);
  const AttentionStatistics whole = Record(kStatAll, sequence, 0);
  for (int i = 0; i < 5; ++i) {
    const AttentionStatistics cut = Record(kStatAll, sequence, 4);
    for (size_t head = 0; head < whole.distance.size(); ++head) {
      EXPECT_NEAR(cut.distance[head], whole.distance[head], 1e-5);
      EXPECT_FLOAT_EQ(cut.confidence[head], whole.confidence[head]);
    }
    EXPECT_EQ(cut.self, whole.self);
  }
}

}  // namespace
}  // namespace attnd
