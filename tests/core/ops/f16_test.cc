// Products in f16 (AVX512-FP16) against their definition, by blocks and by single rows; nothing to test on other CPUs
// but the conversion of rows.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/ops/block_kernel.h"
#include "core/ops/linear.h"
#include "core/ops/quantize.h"
#include "core/ops/row_kernel.h"
#include "hwy/base.h"
#include "tests/core/ops/on_every_target.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

float FromF16(uint16_t bits) { return hwy::F32FromF16(hwy::float16_t::FromBits(bits)); }
uint16_t ToF16(float x) { return hwy::BitCastScalar<uint16_t>(hwy::F16FromF32(x)); }

TEST(ScaleRowToF16Test, KeepsElevenBitsOfWhatIsNotFarBelowTheLargest) {
  OnEveryTarget([] {
    for (const float size : {1e-30f, 1e-3f, 1.0f, 3.0f, 1e4f, 1e30f}) {
      for (const int columns : {1, 5, 16, 17, 64, 100, 192}) {
        SCOPED_TRACE(absl::StrCat(columns, " of ", size));
        const int stride = columns + 3;
        std::vector<float> x = Random(columns, columns, size);
        std::vector<uint16_t> y(stride, 1);
        float scale = 0, largest = 0;
        ScaleRowToF16(x.data(), columns, stride, y.data(), &scale);
        for (const float value : x) largest = std::max(largest, std::abs(value));
        EXPECT_EQ(std::exp2(std::round(std::log2(scale))), scale);  // a power of two
        EXPECT_LT(largest / scale, 0x1p8f);
        EXPECT_GE(largest / scale, 0x1p7f);
        for (int c = 0; c < columns; ++c) {
          EXPECT_NEAR(scale * FromF16(y[c]), x[c], std::max(std::abs(x[c]) * 0x1p-11f, largest * 0x1p-31f)) << c;
        }
        for (int c = columns; c < stride; ++c) EXPECT_EQ(y[c], 0);
      }
    }
  });
}

TEST(ScaleRowToF16Test, HasAScaleForTheSmallestAndTheLargest) {
  for (const float value : {0.0f, 1e-45f, -1e-38f, std::numeric_limits<float>::max()}) {
    const std::vector<float> x(20, value);
    std::vector<uint16_t> y(20);
    float scale = 0;
    ScaleRowToF16(x.data(), 20, 20, y.data(), &scale);
    EXPECT_TRUE(std::isnormal(scale)) << value;
    EXPECT_NEAR(FromF16(y[0]) * (scale * 0x1p-8f), value * 0x1p-8f, std::abs(value) * 0x1p-11f + 1e-35f);
  }
}

TEST(ScaleRowToF16Test, KeepsWhatIsNotFiniteFromLookingFinite) {
  OnEveryTarget([] {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
      for (const int at : {0, 3, 64, 99}) {
        std::vector<float> x = Random(100, 1);
        x[at] = bad;
        std::vector<uint16_t> y(100);
        float scale = 1;
        ScaleRowToF16(x.data(), 100, 100, y.data(), &scale);
        EXPECT_TRUE(std::isnan(scale)) << bad << " at " << at;
      }
    }
  });
}

struct Products {
  static constexpr int kOutputs = 100;  // of the whole layer: columns of a block lie in the middle
  Products(int rows, int groups, int k)
      : rows(rows), groups(groups), k(k), columns(BlockKernelColumns()), row_scales(Random(groups * rows, 1)) {
    for (const float x : Random(size_t{1} * rows * groups * k, rows, 60)) a.push_back(ToF16(x));
    for (const float w : Random(size_t{1} * groups * k * columns, groups, 0.3f)) b.push_back(ToF16(w));
    weight_scales = Random(groups * kOutputs, 2);
  }
  GroupScales Scales() const {
    return {.groups = groups,
            .row_scales = row_scales.data(),
            .row_offsets = nullptr,
            .weight_scales = weight_scales.data() + 3,
            .weight_sums = nullptr,
            .row_stride = rows,
            .column_stride = kOutputs};
  }
  BlockRows Rows(int first, int count) const {
    return {reinterpret_cast<const std::byte*>(a.data() + size_t{1} * first * groups * k),
            int64_t{groups} * k * int64_t{sizeof(uint16_t)}, count};
  }
  // Each addition in f16 is off by up to 2^-12 of its sum, in either
  // direction: together, of 96 additions, by some 2e-3 of what the sum comes to. One product left out of 400 is 5e-2 of
  // it.
  void Expect(const std::vector<float>& c) const {
    double error = 0, size = 0;
    for (size_t i = 0; i < c.size(); ++i) {
      const double sum = Sum(static_cast<int>(i) / columns, static_cast<int>(i) % columns);
      error += (c[i] - sum) * (c[i] - sum);
      size += sum * sum;
    }
    EXPECT_LT(std::sqrt(error / size), 4e-3);
  }
  double Sum(int r, int n) const {
    double sum = 0;
    for (int g = 0; g < groups; ++g) {
      const double scale = double{row_scales[g * rows + r]} * weight_scales[g * kOutputs + 3 + n];
      for (int i = 0; i < k; ++i) {
        sum += scale * FromF16(a[(size_t{1} * r * groups + g) * k + i]) *
               FromF16(b[((size_t{1} * g * k + i) / 2 * columns + n) * 2 + i % 2]);
      }
    }
    return sum;
  }
  int rows, groups, k, columns;
  std::vector<uint16_t> a;           // [rows, groups, k]
  std::vector<uint16_t> b;           // [groups, k / 2, columns, 2]
  std::vector<float> row_scales;     // [groups, rows]
  std::vector<float> weight_scales;  // [groups, outputs]
};

TEST(F16Test, MultipliesBlocks) {
  OnEveryTarget([] {
    if (!HasF16Kernel()) return;
    for (const int rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 64}) {
      for (const int groups : {1, 2, 5}) {
        SCOPED_TRACE(absl::StrCat(rows, " rows, ", groups, " groups"));
        const Products x(rows, groups, groups == 2 ? kF16GroupInputs : 40);
        std::vector<float> c(size_t{1} * rows * x.columns);
        MultiplyScaledBlock(UkernelData::kF16, x.Rows(0, rows),
                            {reinterpret_cast<const std::byte*>(x.b.data()), x.k, true}, x.Scales(), c.data(),
                            x.columns);
        x.Expect(c);
      }
    }
  });
}

TEST(F16Test, MultipliesARowToTheBitsOfABlock) {
  if (!HasF16Kernel()) GTEST_SKIP() << "this CPU has no AVX512-FP16";
  for (const int groups : {1, 2, 4, 5}) {
    SCOPED_TRACE(groups);
    const Products x(1, groups, 192);
    const int64_t block = int64_t{groups} * x.k * x.columns * int64_t{sizeof(uint16_t)};
    const auto* weights = reinterpret_cast<const std::byte*>(x.b.data());
    std::vector<float> products(groups * x.columns), y(x.columns), c(x.columns);
    MultiplyRow(UkernelData::kF16, x.a.data(), x.k,
                {.first = weights, .stride = block, .count = 1, .columns = x.columns, .groups = groups},
                products.data());
    ScaleF16Row(products.data(), x.Scales(), x.columns, /*accumulate=*/false, y.data());
    x.Expect(y);
    MultiplyScaledBlock(UkernelData::kF16, x.Rows(0, 1), {weights, x.k, false}, x.Scales(), c.data(), x.columns);
    EXPECT_EQ(y, c);
  }
}

// Every product as large as it can be and of one sign: no sum leaves the range of f16. And a row may have any size.
TEST(F16Test, LinearNeitherOverflowsNorVanishes) {
  if (!HasF16Kernel()) GTEST_SKIP() << "this CPU has no AVX512-FP16";
  constexpr int kInputs = 1000, kOutputs = 60;
  WorkTeam team(1);
  WorkTeam::Session session(team);
  for (const float weight : {1e-20f, 0.02f, 1.999f, 1e10f}) {
    const Linear linear(std::vector<float>(kInputs * kOutputs, weight), {}, kOutputs, kInputs, Precision::kBf16);
    for (const float size : {1e-12f, 1.999f, 1e5f, 1e20f}) {
      for (const int rows : {1, 9}) {
        const std::vector<float> x((rows + Linear::kPaddingRows) * kInputs, -size);
        std::vector<float> y((rows + Linear::kPaddingRows) * kOutputs);
        linear.Run(session, x.data(), rows, Activation::kNone, y.data());
        const float expected = -size * weight * kInputs;
        for (int i = 0; i < rows * kOutputs; ++i) ASSERT_NEAR(y[i] / expected, 1, 0.02) << weight << " " << size;
      }
    }
  }
}

}  // namespace
}  // namespace attnd
