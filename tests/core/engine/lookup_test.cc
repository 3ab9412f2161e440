#include "core/engine/lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int32_t> DraftOf(const std::vector<int32_t>& ids, int most = 8, int agreement = 3) {
  TokenLookup lookup;
  std::vector<int32_t> draft = {99};
  lookup.Draft(ids, most, agreement, draft);
  return draft;
}

TEST(TokenLookupTest, WhatFollowedTheLastTokensBefore) {
  EXPECT_THAT(DraftOf({1, 2, 3, 4, 5, 9, 1, 2, 3}, 2), ElementsAre(4, 5));
  EXPECT_THAT(DraftOf({1, 2, 3, 4, 5, 9, 1, 2, 3}, 1), ElementsAre(4));
  EXPECT_THAT(DraftOf({1, 2, 3, 4, 9, 2, 3}), IsEmpty());  // two are too few
  EXPECT_THAT(DraftOf({}), IsEmpty());
  EXPECT_THAT(DraftOf({1}), IsEmpty());
  EXPECT_THAT(DraftOf({1, 2, 3}), IsEmpty());
  EXPECT_THAT(DraftOf({0, 0, 0}), IsEmpty());
  EXPECT_THAT(DraftOf({0, 0, 0, 0}, 2), ElementsAre(0, 0));
}

TEST(TokenLookupTest, TheLatestPlaceAndTheLongerOneFirst) {
  EXPECT_THAT(DraftOf({1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3}, 1), ElementsAre(5));
  EXPECT_THAT(DraftOf({7, 1, 2, 3, 4, 8, 1, 2, 3, 5, 7, 1, 2, 3}, 1), ElementsAre(4));
}

TEST(TokenLookupTest, ALoopGoesOn) { EXPECT_THAT(DraftOf({5, 1, 2, 1, 2, 1}, 6), ElementsAre(2, 1, 2, 1, 2, 1)); }

TEST(TokenLookupTest, AgreementIsAsLongAsAskedFor) {
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6, 7, 0, 2, 3, 4, 5, 6};
  EXPECT_THAT(DraftOf(ids, 1, 5), ElementsAre(7));
  EXPECT_THAT(DraftOf(ids, 1, 6), IsEmpty());
}

// Token after token, with and without calls between, against a search of the whole text.
TEST(TokenLookupTest, IsASearchOfTheWholeText) {
  const auto searched = [](const std::vector<int32_t>& ids, int most, int agreement) {
    std::vector<int32_t> draft;
    const int end = static_cast<int>(ids.size());
    for (int count = 4; count >= 3; --count) {
      for (int at = end - 1; at >= count; --at) {
        if (!std::equal(ids.end() - count, ids.end(), ids.begin() + at - count)) continue;
        int same = 0;
        while (same < at && ids[at - 1 - same] == ids[end - 1 - same]) ++same;
        for (int i = 0; i < most && same >= agreement; ++i)
          draft.push_back((at + i < end ? ids : draft)[at + i < end ? at + i : at + i - end]);
        return draft;
      }
    }
    return draft;
  };
  int found = 0;
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const auto pick = [&](int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); };
    TokenLookup lookup;
    std::vector<int32_t> ids, draft;
    const int alphabet = 1 + pick(8);
    while (ids.size() < 300) {
      for (int i = pick(9); i >= 0; --i) ids.push_back(pick(alphabet) - 1);
      const int most = pick(12), agreement = 3 + pick(5);
      lookup.Draft(ids, most, agreement, draft);
      ASSERT_EQ(draft, searched(ids, most, agreement)) << "seed " << seed << " at " << ids.size();
      found += draft.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(found, 500);
}

TEST(TokenLookupTest, EachTokenTakesTheSameTime) {
  TokenLookup lookup;
  std::vector<int32_t> ids, draft;
  for (int t = 0; t < 200000; ++t) {  // for hours if each were compared with those before
    ids.push_back(t % 3 == 0 ? 1 : 2);
    lookup.Draft(ids, 8, 3, draft);
  }
  EXPECT_EQ(draft.size(), 8u);
}

TEST(DraftPolicyTest, LengthsFollowWhatIsAccepted) {
  DraftPolicy policy(8);
  EXPECT_EQ(policy.most(), 4);
  policy.Verified(4, 4);
  EXPECT_EQ(policy.most(), 8);
  policy.Verified(8, 8);
  EXPECT_EQ(policy.most(), 8);
  policy.Verified(8, 5);
  EXPECT_EQ(policy.most(), 6);
  policy.Verified(6, 0);
  EXPECT_EQ(policy.most(), 1);
  EXPECT_EQ(DraftPolicy(0).most(), 0);
  EXPECT_EQ(DraftPolicy(3).most(), 3);
}

TEST(DraftPolicyTest, RefusalsAskForALongerAgreement) {
  DraftPolicy policy(8);
  EXPECT_EQ(policy.agreement(), 3);
  int before = 3;
  for (int i = 0; i < 10; ++i) {
    policy.Verified(1, 0);
    EXPECT_GE(policy.agreement(), before);
    before = policy.agreement();
  }
  EXPECT_EQ(before, 64);  // such a loop is tried again
  for (int i = 0; i < 10; ++i) policy.Verified(policy.most(), policy.most());
  EXPECT_EQ(policy.agreement(), 3);
  EXPECT_EQ(policy.most(), 8);
}

}  // namespace
}  // namespace attnd
