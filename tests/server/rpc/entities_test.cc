#include "server/rpc/entities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/rpc/scores.h"

namespace attnd {
namespace {

using testing::ElementsAre;

const std::vector<std::string> kLabels = {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"};

// "[CLS] Ada Love ##lace in London [SEP]", of which Love and ##lace are one word.
Encoding Text() {
  Encoding encoding;
  encoding.ids = {0, 1, 2, 3, 4, 5, 6};
  encoding.spans = {{0, 0}, {0, 3}, {4, 8}, {8, 12}, {13, 15}, {16, 22}, {0, 0}};
  encoding.special = {1, 0, 0, 0, 0, 0, 1};
  encoding.word_ids = {-1, 0, 1, 1, 2, 3, -1};
  return encoding;
}

// Each row has `score` on one label and shares the rest among the others.
std::vector<float> Rows(const std::vector<std::pair<int, float>>& best) {
  std::vector<float> rows;
  for (const auto& [label, score] : best) {
    for (int i = 0; i < 5; ++i) rows.push_back(i == label ? score : (1 - score) / 4);
  }
  return rows;
}

std::vector<std::string> Find(const std::vector<float>& rows, Aggregation aggregation) {
  std::vector<std::string> found;
  for (const TokenEntity& entity : FindEntities(Text(), rows, kLabels, aggregation)) {
    found.push_back(entity.label + " " + std::to_string(entity.begin) + "-" + std::to_string(entity.end) + " " +
                    std::to_string(std::lround(entity.score * 100)));
  }
  return found;
}

TEST(EntitiesTest, NoneIsOneATokenWithItsWholeLabel) {
  const auto rows = Rows({{1, .9f}, {1, .9f}, {2, .8f}, {2, .6f}, {0, .9f}, {3, .7f}, {3, .9f}});
  EXPECT_THAT(Find(rows, Aggregation::kNone),
              ElementsAre("B-PER 0-3 90", "I-PER 4-8 80", "I-PER 8-12 60", "B-LOC 16-22 70"));
}

TEST(EntitiesTest, SimpleJoinsNeighboursOfOneKindUntilTheNextBegins) {
  EXPECT_THAT(Find(Rows({{0, .9f}, {1, .9f}, {2, .8f}, {2, .7f}, {0, .9f}, {3, .7f}, {0, .9f}}), Aggregation::kSimple),
              ElementsAre("PER 0-12 80", "LOC 16-22 70"));
  EXPECT_THAT(Find(Rows({{0, .9f}, {1, .9f}, {1, .8f}, {2, .6f}, {4, .5f}, {4, .7f}, {0, .9f}}), Aggregation::kSimple),
              ElementsAre("PER 0-3 90", "PER 4-12 70", "LOC 13-22 60"));
}

// Love is a person, ##lace a place with more certainty.
TEST(EntitiesTest, WordsByTheirFirstTheirSurestOrTheirMeanToken) {
  const auto rows = Rows({{0, .9f}, {1, .9f}, {2, .5f}, {3, .8f}, {0, .9f}, {0, .9f}, {0, .9f}});
  EXPECT_THAT(Find(rows, Aggregation::kSimple), ElementsAre("PER 0-8 70", "LOC 8-12 80"));
  EXPECT_THAT(Find(rows, Aggregation::kFirst), ElementsAre("PER 0-12 70"));
  EXPECT_THAT(Find(rows, Aggregation::kMax), ElementsAre("PER 0-3 90", "LOC 4-12 80"));
  // B-LOC has (0.125 + 0.8) / 2.
  EXPECT_THAT(Find(rows, Aggregation::kAverage), ElementsAre("PER 0-3 90", "LOC 4-12 46"));
}

TEST(ScoresTest, TopKIsStable) {
  const std::vector<float> values = {1, 3, 2, 3};
  EXPECT_THAT(TopIndices(values, 0), ElementsAre(1, 3, 2, 0));
  EXPECT_THAT(TopIndices(values, 2), ElementsAre(1, 3));
  EXPECT_THAT(TopIndices(values, 9), ElementsAre(1, 3, 2, 0));
}

TEST(ScoresTest, EachProblemHasItsFunction) {
  std::vector<float> single = {1000, 1000}, multi = {0, -100, 100}, regression = {-3, 7};
  ToScores(ProblemType::kSingleLabel, absl::MakeSpan(single));
  ToScores(ProblemType::kMultiLabel, absl::MakeSpan(multi));
  ToScores(ProblemType::kRegression, absl::MakeSpan(regression));
  EXPECT_THAT(single, ElementsAre(0.5f, 0.5f));
  EXPECT_THAT(multi, ElementsAre(0.5f, testing::FloatNear(0, 1e-6f), 1.0f));
  EXPECT_THAT(regression, ElementsAre(-3.0f, 7.0f));
}

}  // namespace
}  // namespace attnd
