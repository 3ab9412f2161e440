// What the reference made of a golden decoder's prompts with the most probable token each time.
#ifndef ATTND_TESTS_GOLDEN_GREEDY_ANSWERS_H_
#define ATTND_TESTS_GOLDEN_GREEDY_ANSWERS_H_

#include <gtest/gtest.h>

#include <vector>

#include "tests/golden/golden.h"

namespace attnd::golden {

// "greedy" of a case is a prompt of 12 tokens and the answer of 24.
inline std::vector<int32_t> GreedyPrompt(const Cases& cases, size_t i) {
  const std::vector<int32_t> ids = cases.Ints(i, "greedy");
  return {ids.begin(), ids.begin() + 12};
}

// Expects `ids` to be the reference's answer in case i. What follows a close call is not looked at: rounding may decide
// there, and all tokens after it depend on it.
inline void ExpectGreedyAnswer(const Cases& cases, size_t i, const std::vector<int32_t>& ids) {
  const std::vector<int32_t> expected = cases.Ints(i, "greedy");
  const std::vector<float> margins = cases.Floats(i, "greedy_margin");
  ASSERT_EQ(ids.size(), 24u);
  for (size_t t = 0; t < ids.size(); ++t) {
    if (ids[t] == expected[12 + t]) continue;
    EXPECT_LT(margins[t], 0.01f) << "case " << i << " token " << t;
    return;
  }
}

}  // namespace attnd::golden

#endif  // ATTND_TESTS_GOLDEN_GREEDY_ANSWERS_H_
