// Linear in bf16 and int8 against what those precisions define, computed in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

#include "core/base/aligned.h"
#include "core/base/cpu.h"
#include "core/ops/activation.h"
#include "core/ops/block_kernel.h"
#include "core/ops/linear.h"
#include "core/ops/quantize.h"
#include "core/ops/tile_kernel.h"
#include "hwy/base.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

double FromBf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// x as f16 has it, of values of at most `largest`.
double AsF16(float x, float largest) {
  const F16Scale by = F16ScaleOf(largest, kF16RowBits);
  return double{by.scale} * hwy::F32FromF16(hwy::F16FromF32(x * by.inverse));
}
bool InF16(Precision precision) { return precision == Precision::kBf16 && !CpuHasFastBf16() && HasF16Kernel(); }

// Groups of at most `most` inputs, but whole tiles or steps of quads, have ranges of their own: how many there are, and
// the inputs of each.
std::pair<int, int> Groups(int inputs, int most) {
  const int step = HasTileKernel(UkernelData::kU8S8) ? kTileBytes : HasQuadKernel() ? kQuadKernelSteps : 4;
  const int groups = (inputs + most - 1) / most;
  const int group = RoundUp((inputs + groups - 1) / groups, step);
  return {(inputs + group - 1) / group, group};
}

// The values that the layer multiplies in place of x [rows, columns].
std::vector<double> Activations(Precision precision, int most, const std::vector<float>& x, int rows, int columns) {
  std::vector<double> values(x.begin(), x.begin() + int64_t{rows} * columns);
  if (precision == Precision::kBf16 && CpuHasFastBf16()) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = FromBf16(ToBf16(x[i]));
  }
  if (InF16(precision)) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = AsF16(x[i], std::abs(x[i]));
  }
  const auto [groups, group] = Groups(columns, most);
  for (int i = 0; i < rows * groups && precision == Precision::kInt8; ++i) {
    const int r = i / groups, begin = i % groups * group, end = std::min(columns, begin + group);
    const auto [low, high] = std::minmax_element(x.begin() + r * columns + begin, x.begin() + r * columns + end);
    const float range = *high - *low;
    for (int c = begin; c < end; ++c) {
      double& value = values[r * columns + c];
      // In f32, as the kernel does it, so that a tie rounds alike.
      const float level = range > 0 ? std::nearbyint((x[r * columns + c] - *low) * (255 / range)) : 0.0f;
      value = *low + double{range * (1.0f / 255)} * level;
    }
  }
  return values;
}

// The most that two neighbours and the two four places on come to where they have one sign.
float LargestQuad(const float* row, int count) {
  float largest = 0;
  for (int k = 0; k < count; k += (k % 4 == 0 ? 2 : 6)) {
    for (const float sign : {1.0f, -1.0f}) {
      float sum = 0;
      for (const int i : {k, k + 1, k + 4, k + 5}) sum += i < count ? std::max(sign * row[i], 0.0f) : 0.0f;
      largest = std::max(largest, sum);
    }
  }
  return largest;
}

std::vector<double> Weights(Precision precision, int most, const std::vector<float>& w, int outputs, int inputs) {
  std::vector<double> values(w.begin(), w.end());
  if (InF16(precision)) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = AsF16(w[i], std::abs(w[i]));
  } else if (precision == Precision::kBf16) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = FromBf16(ToBf16(w[i]));
  }
  const auto [groups, group] = Groups(inputs, most);
  for (int i = 0; i < outputs * groups && precision == Precision::kInt8; ++i) {
    const int n = i / groups, begin = i % groups * group, end = std::min(inputs, begin + group);
    const float* row = w.data() + n * inputs;
    float largest = 0;
    for (int k = begin; k < end; ++k) {
      largest = std::max(largest, std::abs(row[k]));
      // Without VNNI two neighbours of one sign share the range.
      if (!CpuHasVnni() && (k - begin) % 2 == 1 && row[k - 1] * row[k] > 0) {
        largest = std::max(largest, std::abs(row[k - 1] + row[k]));
      }
    }
    if (HasQuadKernel()) largest = LargestQuad(row + begin, end - begin) * 127 / 126;
    for (int k = begin; k < end; ++k) {
      values[n * inputs + k] = double{largest / 127} * std::nearbyint(row[k] * (127 / largest));
    }
  }
  return values;
}

class LinearPrecisionTest : public ::testing::TestWithParam<std::tuple<Precision, bool, int>> {
 protected:
  void SetUp() override { ForceMatmulForTest(std::get<1>(GetParam())); }
  void TearDown() override { ForceMatmulForTest(false); }
};

TEST_P(LinearPrecisionTest, IsItsDefinitionAtEveryRowCount) {
  const auto [precision, matmul, most] = GetParam();
  WorkTeam team(2);
  WorkTeam::Session session(team);
  for (const auto& [outputs, inputs] : {std::pair{96, 64}, {130, 37}, {7, 385}, {1, 5}, {50, 1001}}) {
    const std::vector<float> w = Random(outputs * inputs, 3), bias = Random(outputs, 4);
    const Linear linear(w, bias, outputs, inputs, precision, most);
    const std::vector<double> weights = Weights(precision, most, w, outputs, inputs);
    for (const int rows : {1, 2, 7, 8, 9, 31, 64, 65, 130, 200}) {
      const std::vector<float> x = Random((rows + Linear::kPaddingRows) * inputs, 5 + rows);
      const std::vector<float> residual = Random(rows * outputs, 6);
      const std::vector<double> values = Activations(precision, most, x, rows, inputs);
      std::vector<float> y((rows + Linear::kPaddingRows) * outputs), z(y.size());
      linear.Run(session, x.data(), rows, Activation::kRelu, y.data());
      linear.RunAddResidual(session, x.data(), rows, residual.data(), z.data());
      for (int r = 0; r < rows; ++r) {
        for (int n = 0; n < outputs; ++n) {
          double sum = bias[n], size = std::abs(sum);
          for (int k = 0; k < inputs; ++k) {
            const double product = values[r * inputs + k] * weights[n * inputs + k];
            sum += product;
            size += std::abs(product);
          }
          const double tolerance = (InF16(precision) ? 2e-3 : 1e-5) * (size + 1);  // f16_test.cc bounds it closely
          ASSERT_NEAR(y[r * outputs + n], std::max(sum, 0.0), tolerance) << rows << " " << inputs << " " << n;
          ASSERT_NEAR(z[r * outputs + n], sum + residual[r * outputs + n], tolerance);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, LinearPrecisionTest,
                         ::testing::Combine(::testing::Values(Precision::kBf16, Precision::kInt8), ::testing::Bool(),
                                            ::testing::Values(384, 100)),
                         [](const auto& info) {
                           return std::string(PrecisionName(std::get<0>(info.param))) +
                                  (std::get<1>(info.param) ? "Loops" : "Ukernel") + "Groups" +
                                  std::to_string(std::get<2>(info.param));
                         });

// In the strips' epilogue or after them: half-blocks of columns and a bias leave the gate for later.
TEST(LinearGateTest, IsRunThenGate) {
  WorkTeam team(2);
  WorkTeam::Session session(team);
  constexpr int kInputs = 100;
  for (const int wide : {20, 48, 96, 240}) {
    for (const bool bias : {false, true}) {
      for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
        const Linear linear(Random(2 * wide * kInputs, 3), bias ? Random(2 * wide, 5) : std::vector<float>(), 2 * wide,
                            kInputs, precision);
        for (const int rows : {1, 9, 64, 131}) {
          const std::vector<float> x = Random((rows + Linear::kPaddingRows) * kInputs, 4);
          std::vector<float> both(rows * 2 * wide), expected(rows * wide), gated(rows * wide);
          linear.Run(session, x.data(), rows, Activation::kNone, both.data());
          GateRows(Activation::kSilu, rows, wide, both.data(), 2 * wide, expected.data(), wide);
          linear.RunGated(session, x.data(), rows, Activation::kSilu, gated.data());
          for (int i = 0; i < rows * wide; ++i) ASSERT_NEAR(gated[i], expected[i], 1e-5 * (1 + std::abs(expected[i])));
        }
      }
    }
  }
}

TEST(LinearPrecisionBytesTest, ShrinkWithThePrecision) {
  const std::vector<float> w = Random(384 * 384, 1);
  constexpr int64_t f32 = 384 * 384 * sizeof(float);
  EXPECT_LT(Linear(w, {}, 384, 384, Precision::kBf16).bytes(), f32 * 0.51);
  EXPECT_LT(Linear(w, {}, 384, 384, Precision::kInt8).bytes(), f32 * 0.27);
}

// 255 x 127 twice does not fit the 16 bits that a CPU without VNNI adds in: neighbours of one sign must be smaller.
TEST(LinearPrecisionSaturationTest, TheLargestProductsAreExact) {
  constexpr int kInputs = 256, kOutputs = 16;
  WorkTeam team(1);
  WorkTeam::Session session(team);
  // Columns of +1, of -1, of signs in turn, and of every pair of levels whose sum is the most that fits.
  std::vector<float> w(kInputs * kOutputs, 1.0f);
  for (int n = 1; n < kOutputs; ++n) {
    for (int k = 0; k < kInputs; ++k) {
      const int pair = k / 2;
      const float part = static_cast<float>(pair) / 127;
      const float shared = k % 2 == 0 ? part : 1 - part;
      w[n * kInputs + k] = n == 1 ? -1.0f : n == 2 ? (k % 2 == 0 ? 1.0f : -1.0f) : n % 2 == 0 ? shared : -shared;
    }
  }
  const Linear linear(w, {}, kOutputs, kInputs, Precision::kInt8);
  // A level of the weights is 1/127 (1/63 where neighbours share it, 1/31 where four do); saturated, the sum of two
  // full products loses half.
  const double steps = HasQuadKernel() ? 60 : 120;
  for (const int rows : {1, 3}) {
    std::vector<float> x((rows + Linear::kPaddingRows) * kInputs, 2.0f), y((rows + Linear::kPaddingRows) * kOutputs);
    // In each group of inputs, however they are cut; the rest are at the top of the range.
    for (int r = 0; r < rows; ++r) x[r * kInputs] = x[r * kInputs + 128] = x[r * kInputs + 192] = 0.0f;
    linear.Run(session, x.data(), rows, Activation::kNone, y.data());
    for (int i = 0; i < rows * kOutputs; ++i) {
      const int n = i % kOutputs;
      double expected = 0, most = 0;
      for (int k = 0; k < kInputs; ++k) {
        expected += double{x[k]} * w[n * kInputs + k];
        most += std::abs(double{x[k]} * w[n * kInputs + k]);
      }
      EXPECT_NEAR(y[i], expected, most / steps) << i;
    }
  }
}

TEST(ConvertRowsToBf16Test, RoundsTiesToEvenAndKeepsNaN) {
  const std::vector<float> x = {1.0f,
                                1.00390625f,
                                1.01171875f,
                                -1e-40f,
                                std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN(),
                                3.4e38f};
  std::vector<uint16_t> y(8, 7);
  ConvertRowsToBf16(x.data(), 1, 7, 8, y.data());
  EXPECT_EQ(y[0], 0x3f80);
  EXPECT_EQ(y[1], 0x3f80);  // halfway, down to even
  EXPECT_EQ(y[2], 0x3f82);  // halfway, up to even
  EXPECT_TRUE(std::isnan(FromBf16(y[5])));
  for (int i = 0; i < 7; ++i) EXPECT_EQ(y[i], ToBf16(x[i])) << i;
  EXPECT_EQ(y[7], 0);
}

TEST(PrecisionTest, NamesParse) {
  EXPECT_EQ(ParsePrecision("f32"), Precision::kF32);
  EXPECT_EQ(ParsePrecision("int8"), Precision::kInt8);
  EXPECT_EQ(ParsePrecision("auto"), Precision::kBf16);
  EXPECT_FALSE(ParsePrecision("fp8").has_value());
}

}  // namespace
}  // namespace attnd
