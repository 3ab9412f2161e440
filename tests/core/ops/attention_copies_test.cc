// What attention copies, against its definition, on every path this CPU has.
#include "core/ops/attention_copies.h"

#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/aligned.h"
#include "tests/core/ops/on_every_target.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

constexpr float kUntouched = -77;

TEST(PackKeysTest, TransposesBlocksOfKeys) {
  OnEveryTarget([] {
    for (const int head_dim : {1, 3, 4, 16, 32, 50, 64}) {
      for (const int count : {1, 3, 4, 5, 16, 31, 63, 64, 65, 130}) {
        SCOPED_TRACE(absl::StrCat(count, " keys of ", head_dim));
        const int stride = head_dim + 7, blocks = (count + kKeyBlock - 1) / kKeyBlock;
        const std::vector<float> keys = Random(count * stride, count);
        std::vector<float> packed(blocks * head_dim * kKeyBlock, kUntouched);
        PackKeys(keys.data(), count, stride, head_dim, packed.data());
        for (int i = 0; i < blocks * head_dim * kKeyBlock; ++i) {
          const int key = i / (head_dim * kKeyBlock) * kKeyBlock + i % kKeyBlock;
          const int d = i / kKeyBlock % head_dim;
          const float expected = key < count ? keys[key * stride + d] : key < RoundUp(count, 16) ? 0.0f : kUntouched;
          ASSERT_EQ(packed[i], expected) << key << ", " << d;
        }
      }
    }
  });
}

TEST(ScaleRowsTest, MultipliesEachRowByItsFactor) {
  OnEveryTarget([] {
    constexpr int kRows = 5;
    const std::vector<float> factors = Random(kRows, 1);
    for (const int columns : {1, 15, 16, 32, 50, 64}) {
      const int stride = columns + 3;
      const std::vector<float> from = Random(kRows * columns, columns);
      for (const float* by : {factors.data(), static_cast<const float*>(nullptr)}) {
        std::vector<float> to(kRows * stride, kUntouched);
        ScaleRows(from.data(), by, kRows, columns, to.data(), stride);
        for (int i = 0; i < kRows * stride; ++i) {
          const int r = i / stride, c = i % stride;
          const float expected = c < columns ? from[r * columns + c] * (by == nullptr ? 1.0f : by[r]) : kUntouched;
          ASSERT_EQ(to[i], expected) << r << ", " << c;
        }
      }
    }
  });
}

}  // namespace
}  // namespace attnd
