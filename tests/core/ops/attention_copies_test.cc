// What attention copies, against its definition, on every path this CPU has.
#include "core/ops/attention_copies.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/aligned.h"
#include "core/ops/quantize.h"
#include "core/ops/softmax.h"
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
        ScaleRows(from.data(), columns, by, kRows, columns, to.data(), stride);
        for (int i = 0; i < kRows * stride; ++i) {
          const int r = i / stride, c = i % stride;
          const float expected = c < columns ? from[r * columns + c] * (by == nullptr ? 1.0f : by[r]) : kUntouched;
          ASSERT_EQ(to[i], expected) << r << ", " << c;
        }
      }
    }
  });
}

float AsBf16(float x) { return FromBf16(ToBf16(x)); }

TEST(SplitRowsTest, HasSixteenBitsInTwoHalves) {
  OnEveryTarget([] {
    constexpr int kRows = 3, kStride = 70;
    for (const int columns : {16, 32, 64}) {
      const std::vector<float> from = Random(kRows * kStride, columns);
      std::vector<uint16_t> to(kRows * 3 * columns);
      SplitRows(from.data(), kStride, kRows, columns, {0, 1, 0}, to.data());
      for (int i = 0; i < kRows * columns; ++i) {
        const int r = i / columns, c = i % columns;
        const float x = from[r * kStride + c];
        const uint16_t* row = to.data() + r * 3 * columns;
        ASSERT_EQ(row[c], ToBf16(x));
        ASSERT_EQ(row[columns + c], ToBf16(x - AsBf16(x)));
        ASSERT_EQ(row[2 * columns + c], ToBf16(x));
        ASSERT_NEAR(FromBf16(row[c]) + FromBf16(row[columns + c]), x, std::abs(x) * 0x1p-16f);
      }
    }
  });
}

TEST(RoundRowsTest, RoundsToNearest) {
  OnEveryTarget([] {
    constexpr int kRows = 3, kStride = 100;
    for (const int columns : {32, 64, 96}) {
      const std::vector<float> from = Random(kRows * kStride, columns);
      std::vector<uint16_t> to(kRows * columns);
      RoundRows(from.data(), kStride, kRows, columns, to.data());
      for (int i = 0; i < kRows * columns; ++i) {
        ASSERT_EQ(to[i], ToBf16(from[i / columns * kStride + i % columns])) << i;
      }
    }
  });
}

TEST(PairRowsTest, LaysNeighboursSideBySide) {
  OnEveryTarget([] {
    constexpr int kStride = 70, kPadded = 32;
    for (const int columns : {16, 48, 64}) {
      for (const int rows : {1, 2, 7, 31, 32}) {
        const std::vector<float> from = Random(rows * kStride, rows);
        std::vector<uint32_t> to(kPadded / 2 * columns, 1);
        PairRows(from.data(), kStride, rows, kPadded, columns, to.data());
        for (int i = 0; i < kPadded * columns; ++i) {
          const int r = i / columns, c = i % columns;
          const uint32_t expected = r < rows ? ToBf16(from[r * kStride + c]) : 0;
          ASSERT_EQ(to[r / 2 * columns + c] >> (r % 2 * 16) & 0xffff, expected) << r << ", " << c;
        }
      }
    }
  });
}

}  // namespace
}  // namespace attnd
