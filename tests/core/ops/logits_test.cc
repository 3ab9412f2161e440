#include "core/ops/logits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/core/ops/on_every_target.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

TEST(LogitsTest, AreThoseOfTheFormulas) {
  OnEveryTarget([] {
    for (const int count : {1, 2, 7, 15, 16, 17, 64, 65, 100, 1000, 49152}) {
      SCOPED_TRACE(count);
      std::vector<float> logits = Random(count, count, 20.0f);
      logits[count / 2] = -std::numeric_limits<float>::infinity();  // as of a token that is forbidden
      if (count == 1) logits[0] = -3;
      EXPECT_EQ(ArgMax(logits), std::max_element(logits.begin(), logits.end()) - logits.begin());
      const double largest = *std::max_element(logits.begin(), logits.end());
      double sum = 0;
      for (const float logit : logits) sum += std::exp(logit - largest);
      EXPECT_NEAR(LogSumExp(logits), largest + std::log(sum), 2e-6);
    }
  });
}

TEST(LogitsTest, TheFirstOfTheLargest) {
  OnEveryTarget([] {
    std::vector<float> logits(77, -1.0f);
    for (const int at : {76, 40, 16, 3, 0}) {
      logits[at] = 2;
      EXPECT_EQ(ArgMax(logits), at);
    }
  });
}

TEST(LogitsTest, LargeOnesDoNotOverflow) {
  EXPECT_NEAR(LogSumExp(std::vector<float>{1000, 1000}), 1000 + std::log(2.0), 2e-6);
}

// The tail of a large vocabulary, each of it too little to show in a sum of f32 that is near 1.
TEST(LogitsTest, ManyUnlikelyOnes) {
  OnEveryTarget([] {
    for (const int count : {151936, 1000000}) {
      std::vector<float> logits(count, -10.0f);
      logits[7] = 0;
      EXPECT_NEAR(LogSumExp(logits), std::log1p((count - 1) * std::exp(-10.0)), 2e-6) << count;
    }
  });
}

}  // namespace
}  // namespace attnd
