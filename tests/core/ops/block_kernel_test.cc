// BlockKernel against its definition and against the kernels it stands in for, on every path this CPU has.
#include "core/ops/block_kernel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/ops/quantize.h"
#include "tests/core/ops/on_every_target.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

constexpr float kUntouched = -77;
constexpr int kRowGap = 4;  // values between two rows of either side

float Value(float x) { return x; }
float Value(uint16_t bf16) { return FromBf16(bf16); }

template <typename B>
void ExpectFloats(UkernelData data, const std::vector<B>& b, int rows, int k, bool fetch) {
  SCOPED_TRACE(absl::StrCat(rows, " rows, ", k, " inputs"));
  const int columns = BlockKernelColumns(), stride = columns + kRowGap, lda = k + kRowGap;
  const std::vector<float> a = Random(static_cast<size_t>(rows) * lda, rows);
  std::vector<float> c(static_cast<size_t>(rows) * stride, kUntouched);
  MultiplyFloatBlock(data, {reinterpret_cast<const std::byte*>(a.data()), lda * int64_t{sizeof(float)}, rows},
                     {reinterpret_cast<const std::byte*>(b.data()), k, fetch}, c.data(), stride);
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < stride; ++n) {
      double sum = n < columns ? 0 : kUntouched;
      for (int i = 0; n < columns && i < k; ++i) {
        sum += static_cast<double>(a[r * lda + i]) * Value(b[size_t{1} * i * columns + n]);
      }
      ASSERT_NEAR(c[r * stride + n], sum, 1e-3) << r << ", " << n;
    }
  }
}

TEST(BlockKernelTest, MultipliesFloats) {
  OnEveryTarget([] {
    // Less than a chunk of k, one and a bit, several.
    for (const int k : {4, 384, 1540}) {
      const std::vector<float> b = Random(static_cast<size_t>(k) * BlockKernelColumns(), k);
      std::vector<uint16_t> halves;
      for (const float x : b) halves.push_back(ToBf16(x));
      for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 31, 32, 64}) {
        ExpectFloats(UkernelData::kF32, b, rows, k, rows % 2 == 0);
        ExpectFloats(UkernelData::kF32Bf16, halves, rows, k, rows % 2 == 1);
      }
    }
  });
}

struct Integers {
  static constexpr int kOutputs = 100;  // of the whole layer: columns of a block lie in the middle
  Integers(int rows, int groups, int k, int columns, int largest = 127)
      : rows(rows), groups(groups), k(k), columns(columns) {
    std::mt19937 random(rows * 31 + groups);
    std::uniform_int_distribution<int> activation(0, 255), weight(-largest, largest);
    for (int i = 0; i < rows * groups * k; ++i) a.push_back(static_cast<uint8_t>(activation(random)));
    for (int i = 0; i < groups * k * columns; ++i) b.push_back(static_cast<int8_t>(weight(random)));
    row_scales = Random(rows * groups, 1);
    row_offsets = Random(rows * groups, 2);
    weight_scales = Random(kOutputs * groups, 3);
    weight_sums = Random(kOutputs * groups, 4);
  }
  GroupScales Scales(int first_group, int count) const {
    return {.groups = count,
            .row_scales = row_scales.data() + first_group * rows,
            .row_offsets = row_offsets.data() + first_group * rows,
            .weight_scales = weight_scales.data() + first_group * kOutputs + 3,
            .weight_sums = weight_sums.data() + first_group * kOutputs + 3,
            .row_stride = rows,
            .column_stride = kOutputs};
  }
  // By loops and ScaleSums.
  std::vector<float> Expected() const {
    std::vector<float> c(static_cast<size_t>(rows) * columns);
    std::vector<int32_t> sums(static_cast<size_t>(rows) * columns);
    for (int g = 0; g < groups; ++g) {
      for (int i = 0; i < rows * columns; ++i) {
        sums[i] = 0;
        for (int j = 0; j < k; ++j) {
          sums[i] += a[(i / columns * groups + g) * k + j] * b[((g * k + j) / 4 * columns + i % columns) * 4 + j % 4];
        }
      }
      const IntegerTile tile = {
          .sums = sums.data(), .sums_stride = columns, .group_stride = 0, .scales = Scales(g, 1), .accumulate = g > 0};
      ScaleSums(tile, rows, columns, columns, c.data());
    }
    return c;
  }
  int rows, groups, k, columns;
  std::vector<uint8_t> a;                         // [rows, groups, k]
  std::vector<int8_t> b;                          // [groups, k / 4, columns, 4]
  std::vector<float> row_scales, row_offsets;     // [groups, rows]
  std::vector<float> weight_scales, weight_sums;  // [groups, outputs]
};

TEST(BlockKernelTest, ScalesIntegersToTheBitsOfScaleSums) {
  OnEveryTarget([] {
    for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 64}) {
      for (const int groups : {1, 2, 5}) {
        SCOPED_TRACE(absl::StrCat(rows, " rows, ", groups, " groups"));
        const Integers x(rows, groups, /*k=*/48, BlockKernelColumns());
        std::vector<float> c(static_cast<size_t>(rows) * x.columns, kUntouched);
        MultiplyScaledBlock(
            UkernelData::kU8S8, {reinterpret_cast<const std::byte*>(x.a.data()), int64_t{groups} * x.k, rows},
            {reinterpret_cast<const std::byte*>(x.b.data()), x.k, true}, x.Scales(0, groups), c.data(), x.columns);
        ASSERT_EQ(c, x.Expected());
      }
    }
  });
}

TEST(BlockKernelTest, AddsQuadsToTheBitsOfScaleSums) {
  OnEveryTarget([] {
    for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 64}) {
      for (const int groups : {1, 2, 5}) {
        SCOPED_TRACE(absl::StrCat(rows, " rows, ", groups, " groups"));
        Integers x(rows, groups, /*k=*/3 * kQuadKernelSteps, BlockKernelColumns(), /*largest=*/32);
        // As far as 16 bits go: rows of the largest activation by columns of 128 a quad, of either sign.
        std::fill_n(x.a.begin(), groups * x.k, uint8_t{255});
        for (int i = 0; i < groups * x.k / 4; ++i) {
          for (const int column : {0, x.columns - 1}) {
            std::fill_n(&x.b[(i * x.columns + column) * 4], 4, column == 0 ? int8_t{32} : int8_t{-32});
          }
        }
        std::vector<float> c(static_cast<size_t>(rows) * x.columns, kUntouched);
        MultiplyScaledBlock(
            UkernelData::kU8S8, {reinterpret_cast<const std::byte*>(x.a.data()), int64_t{groups} * x.k, rows},
            {.first = reinterpret_cast<const std::byte*>(x.b.data()), .k = x.k, .fetch = true, .quads = true},
            x.Scales(0, groups), c.data(), x.columns);
        ASSERT_EQ(c, x.Expected());
      }
    }
  });
}

TEST(BlockKernelTest, SaysWhatItTakes) {
  const int columns = BlockKernelColumns();
  EXPECT_FALSE(HasBlockKernel(UkernelData::kBf16, columns, 384));
  for (const UkernelData data : {UkernelData::kF32, UkernelData::kF32Bf16, UkernelData::kU8S8}) {
    EXPECT_FALSE(HasBlockKernel(data, columns + 1, 384));
    EXPECT_FALSE(HasBlockKernel(data, columns, 382));
  }
  EXPECT_FALSE(HasBlockKernel(UkernelData::kF32S8, columns, 400));
  EXPECT_FALSE(HasBlockKernel(UkernelData::kF16, columns + 1, 96));
  EXPECT_FALSE(HasBlockKernel(UkernelData::kF16, columns, 100));
  EXPECT_FALSE(HasBlockKernel(UkernelData::kF16, columns, kF16GroupInputs + 8));
  EXPECT_EQ(HasBlockKernel(UkernelData::kF16S8, columns, 96), HasF16Kernel());
  EXPECT_FALSE(HasBlockKernel(UkernelData::kF16S8, columns, 88));
  EXPECT_FALSE(HasBlockKernel(UkernelData::kF16S8, columns, kF16GroupInputs + 32));
}

}  // namespace
}  // namespace attnd
