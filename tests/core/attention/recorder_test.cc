#include "core/attention/recorder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/attention/decoding.h"
#include "hwy/targets.h"
#include "tests/core/attention/reference.h"

namespace attnd {
namespace {

std::string Name(const AttentionSpec& spec) {
  return "reduce " + std::to_string(static_cast<int>(spec.reduce)) + " layout " +
         std::to_string(static_cast<int>(spec.layout)) + " dtype " + std::to_string(static_cast<int>(spec.dtype)) +
         " special " + std::to_string(static_cast<int>(spec.special)) + " words " + std::to_string(spec.word_level) +
         " queries " + std::to_string(spec.queries.begin.value_or(0)) + " k " + std::to_string(spec.top_k);
}

AttentionResult Record(const AttentionSpec& spec, RandomSequence& sequence, int threads) {
  auto plan = AttentionPlan::Make(spec, sequence.Inputs());
  EXPECT_TRUE(plan.ok()) << plan.status();
  AttentionRecorder recorder(*plan);
  sequence.Deliver(recorder, threads);
  absl::StatusOr<AttentionResult> result = recorder.Finish();
  EXPECT_TRUE(result.ok()) << result.status() << " " << Name(spec);
  return *std::move(result);
}

// Every map of `result` against the naive reference, within what its dtype and layout allow.
void ExpectMatches(const AttentionResult& result, const RandomSequence& sequence) {
  const AttentionPlan& plan = *result.plan;
  const AttentionSpec& spec = plan.spec();
  ASSERT_EQ(static_cast<int64_t>(result.data.size()), plan.sizes().data);
  const std::vector<Matrix> reduced = ReferenceReduced(sequence, plan.selection(), spec.reduce);
  ASSERT_EQ(reduced.size(), plan.maps().size());
  const TokenSpan queries = *spec.queries.Resolve(sequence.tokens(), "queries");
  const TokenSpan keys = *spec.keys.Resolve(sequence.tokens(), "keys");
  const DecodedMaps decoded = DecodeMaps(result);
  size_t at = 0;
  size_t row_at = 0;
  for (const Matrix& map : reduced) {
    const Matrix expected = ReferenceShaped(sequence, map, spec, queries, keys);
    ASSERT_EQ(static_cast<int>(expected.size()), plan.rows());
    for (const std::vector<double>& row : expected) {
      ASSERT_EQ(static_cast<int>(row.size()), plan.columns());
      std::vector<double> sorted = row;
      std::sort(sorted.rbegin(), sorted.rend());
      const double maximum = sorted[0];
      const double kth = sorted[plan.values_per_row() - 1];
      double kept = 0;
      double total = 0;
      for (const double p : row) {
        total += p;
        const double got = decoded.dense[at++];
        const double tolerance = spec.dtype == AttentionDtype::kF32 ? 1e-6
                                 : spec.dtype == AttentionDtype::kF16
                                     ? 5e-4 * p + 1e-6
                                     : std::sqrt(p * maximum) / 255 + maximum / 65025 + 1e-6;
        // At the k-th place float and double may choose differently among values that are all but equal.
        if (p > kth + 1e-7 || got > 0) {
          ASSERT_NEAR(got, p, tolerance) << Name(spec);
          ASSERT_GT(p, kth - 1e-7) << Name(spec);
        }
      }
      for (int i = 0; i < plan.values_per_row(); ++i) kept += sorted[i];
      if (spec.layout == AttentionLayout::kTopK) {
        ASSERT_NEAR(decoded.residuals[row_at], total - kept, 1e-5 + 1e-5 * total) << Name(spec);
      }
      ++row_at;
    }
  }
}

// Every combination, in whole heads and in random pieces by four threads.
class RecorderTest : public testing::TestWithParam<AttentionReduce> {};

TEST_P(RecorderTest, AgreesWithTheReferenceInEveryCombination) {
  RandomSequence sequence(3, 4, 29, 7);
  const auto selection = HeadSelection::Parse("L0H1 L0H3 2:0-2", 3, 4);
  int combinations = 0;
  for (const AttentionLayout layout : {AttentionLayout::kDense, AttentionLayout::kTopK}) {
    for (const AttentionDtype dtype : {AttentionDtype::kF32, AttentionDtype::kF16, AttentionDtype::kU8}) {
      for (const SpecialTokens special : {SpecialTokens::kKeep, SpecialTokens::kDrop, SpecialTokens::kRenormalize}) {
        for (const bool words : {false, true}) {
          for (const bool ranges : {false, true}) {
            AttentionSpec spec;
            spec.selection = *selection;
            spec.reduce = GetParam();
            spec.layout = layout;
            spec.dtype = dtype;
            spec.special = special;
            spec.word_level = words;
            spec.top_k = ranges ? 40 : 5;  // more than the columns, and fewer
            if (ranges) {
              spec.queries = {-9, std::nullopt};
              spec.keys = {2, 20};
            }
            for (const int threads : {0, 4}) ExpectMatches(Record(spec, sequence, threads), sequence);
            if (HasFatalFailure()) return;
            ++combinations;
          }
        }
      }
    }
  }
  EXPECT_EQ(combinations, 72);
}

INSTANTIATE_TEST_SUITE_P(Reductions, RecorderTest,
                         testing::Values(AttentionReduce::kNone, AttentionReduce::kHeadMean, AttentionReduce::kHeadMax,
                                         AttentionReduce::kLayerMean, AttentionReduce::kRollout));

TEST(RecorderTest, EverySequenceLengthAndEveryTarget) {
  std::vector<int64_t> targets = {0};  // 0: the best of this CPU
  for (const int64_t target : {HWY_AVX2, HWY_SSE2}) {
    if ((hwy::SupportedTargets() & target) != 0) targets.push_back(target);
  }
  for (const int64_t target : targets) {
    hwy::SetSupportedTargetsForTest(target);
    for (int tokens = 1; tokens <= 70; ++tokens) {
      RandomSequence sequence(1, 2, tokens, tokens);
      for (const AttentionDtype dtype : {AttentionDtype::kF32, AttentionDtype::kF16, AttentionDtype::kU8}) {
        for (const AttentionLayout layout : {AttentionLayout::kDense, AttentionLayout::kTopK}) {
          AttentionSpec spec;
          spec.dtype = dtype;
          spec.layout = layout;
          spec.top_k = 1 + tokens / 2;
          ExpectMatches(Record(spec, sequence, 0), sequence);
          if (HasFatalFailure()) return;
        }
      }
    }
    hwy::SetSupportedTargetsForTest(0);
  }
}

TEST(RecorderTest, LongRolloutRowsFromTheTopAgreeWithTheFullProduct) {
  RandomSequence sequence(4, 2, 67, 3, 4.0);
  AttentionSpec spec;
  spec.reduce = AttentionReduce::kRollout;
  ExpectMatches(Record(spec, sequence, 3), sequence);
  spec.queries = {-1, std::nullopt};
  ExpectMatches(Record(spec, sequence, 3), sequence);
}

TEST(RecorderTest, U8KeepsTheDistribution) {
  for (const double sharpness : {0.5, 1.0, 2.0, 4.0}) {
    RandomSequence sequence(1, 4, 128, 11, sharpness);
    AttentionSpec spec;
    spec.dtype = AttentionDtype::kU8;
    const DecodedMaps decoded = DecodeMaps(Record(spec, sequence, 0));
    for (int head = 0; head < 4; ++head) {
      for (int i = 0; i < 128; ++i) {
        double variation = 0;
        for (int j = 0; j < 128; ++j) {
          const int at = i * 128 + j;
          variation += std::abs(decoded.dense[head * 128 * 128 + at] - sequence.Head(0, head)[at]) / 2;
        }
        ASSERT_LE(variation, 0.02) << sharpness;
      }
    }
  }
}

TEST(RecorderTest, RenormalisedRowsSumToOne) {
  RandomSequence sequence(2, 2, 40, 5);
  AttentionSpec spec;
  spec.special = SpecialTokens::kRenormalize;
  spec.word_level = true;
  const AttentionResult result = Record(spec, sequence, 2);
  const DecodedMaps decoded = DecodeMaps(result);
  const size_t columns = result.plan->columns();
  for (size_t row = 0; row < decoded.dense.size(); row += columns) {
    double sum = 0;
    for (size_t j = 0; j < columns; ++j) sum += decoded.dense[row + j];
    EXPECT_NEAR(sum, 1.0, 1e-5);
  }
}

// The bytes that docs/attention-maps.md shows.
TEST(RecorderTest, TheExampleOfTheDocumentation) {
  const std::vector<uint8_t> special(3, 0);
  const std::vector<int32_t> words = {0, 1, 2};
  AttentionSpec spec;
  spec.queries = {0, 1};
  spec.layout = AttentionLayout::kTopK;
  spec.top_k = 2;
  spec.dtype = AttentionDtype::kU8;
  AttentionRecorder recorder(*AttentionPlan::Make(spec, {1, 1, 3, special, words}));
  const float map[] = {0.125f, 0.5f, 0.375f, 1, 0, 0, 1, 0, 0};
  recorder.Tile({0, 0, 0, 3, 3, map, 3, nullptr});
  const AttentionResult result = *recorder.Finish();
  EXPECT_THAT(result.bytes(), testing::ElementsAre(0, 0, 0, 0x3f, 0, 0, 0, 0x3e, 0xff, 0xdd, 0, 0, 1, 0, 2, 0));
}

TEST(RecorderTest, WantsOnlyWhatIsAskedFor) {
  RandomSequence sequence(3, 4, 12, 1);
  AttentionSpec spec;
  spec.selection = *HeadSelection::Parse("L1H2", 3, 4);
  spec.statistics = kStatEntropy;
  spec.statistics_selection = *HeadSelection::Parse("L2", 3, 4);
  const AttentionRecorder recorder(*AttentionPlan::Make(spec, sequence.Inputs()));
  for (int layer = 0; layer < 3; ++layer) {
    for (int head = 0; head < 4; ++head) {
      EXPECT_EQ(recorder.Wants(layer, head), layer == 2 || (layer == 1 && head == 2)) << layer << " " << head;
    }
  }
}

TEST(RecorderTest, MissingTilesAreAnError) {
  RandomSequence sequence(2, 2, 12, 1);
  for (const AttentionReduce reduce : {AttentionReduce::kNone, AttentionReduce::kHeadMean, AttentionReduce::kRollout}) {
    AttentionSpec spec;
    spec.reduce = reduce;
    AttentionRecorder recorder(*AttentionPlan::Make(spec, sequence.Inputs()));
    recorder.Tile({0, 0, 0, 12, 12, sequence.Head(0, 0), 12, nullptr});
    EXPECT_EQ(recorder.Finish().status().code(), absl::StatusCode::kInternal);
  }
  AttentionSpec statistics;
  statistics.maps = false;
  statistics.statistics = kStatConfidence;
  AttentionRecorder recorder(*AttentionPlan::Make(statistics, sequence.Inputs()));
  recorder.Tile({0, 0, 0, 12, 12, sequence.Head(0, 0), 12, nullptr});
  const absl::Status status = recorder.Finish().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("L0H1: 0 of 12 rows arrived"));
}

// A broken model must give broken numbers, not a crash.
TEST(RecorderTest, NanRowsDoNoHarm) {
  RandomSequence sequence(1, 1, 50, 1);
  for (int i = 0; i < 50 * 50; i += 3) sequence.Head(0, 0)[i] = std::nanf("");
  for (const int k : {8, 40, 50}) {
    for (const AttentionDtype dtype : {AttentionDtype::kF32, AttentionDtype::kF16, AttentionDtype::kU8}) {
      AttentionSpec spec;
      spec.layout = AttentionLayout::kTopK;
      spec.top_k = k;
      spec.dtype = dtype;
      spec.word_level = k == 50;
      spec.statistics = kStatAll;
      EXPECT_EQ(static_cast<int>(DecodeMaps(Record(spec, sequence, 0)).residuals.size()),
                spec.word_level ? AttentionPlan::Make(spec, sequence.Inputs()).value()->rows() : 50);
    }
  }
}

}  // namespace
}  // namespace attnd
