// Linear in bf16 and int8 against what those precisions define, computed in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "core/base/cpu.h"
#include "core/ops/linear.h"
#include "core/ops/quantize.h"

namespace attnd {
namespace {

std::vector<float> Random(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

double FromBf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// The values that the layer multiplies in place of x [rows, columns].
std::vector<double> Activations(Precision precision, const std::vector<float>& x, int rows, int columns) {
  std::vector<double> values(x.begin(), x.begin() + int64_t{rows} * columns);
  if (precision == Precision::kBf16 && CpuHasBf16()) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = FromBf16(ToBf16(x[i]));
  }
  // Groups of inputs, as PackedWeights says, have a range of their own.
  const int groups = (columns + 191) / 192;
  const int group = ((columns + groups - 1) / groups + 3) / 4 * 4;
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

std::vector<double> Weights(Precision precision, const std::vector<float>& w, int outputs, int inputs) {
  std::vector<double> values(w.begin(), w.end());
  if (precision == Precision::kBf16) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = FromBf16(ToBf16(w[i]));
  }
  const float levels = CpuHasVnni() ? 127 : 63;
  for (int n = 0; n < outputs && precision == Precision::kInt8; ++n) {
    float largest = 0;
    for (int k = 0; k < inputs; ++k) largest = std::max(largest, std::abs(w[n * inputs + k]));
    for (int k = 0; k < inputs; ++k) {
      values[n * inputs + k] = double{largest / levels} * std::nearbyint(w[n * inputs + k] * (levels / largest));
    }
  }
  return values;
}

class LinearPrecisionTest : public ::testing::TestWithParam<std::tuple<Precision, bool>> {
 protected:
  void SetUp() override { ForceMatmulForTest(std::get<1>(GetParam())); }
  void TearDown() override { ForceMatmulForTest(false); }
};

TEST_P(LinearPrecisionTest, IsItsDefinitionAtEveryRowCount) {
  const Precision precision = std::get<0>(GetParam());
  WorkTeam team(2);
  WorkTeam::Session session(team);
  for (const auto& [outputs, inputs] : {std::pair{96, 64}, {130, 37}, {7, 385}, {1, 5}, {50, 1001}}) {
    const std::vector<float> w = Random(outputs * inputs, 3), bias = Random(outputs, 4);
    const Linear linear(w, bias, outputs, inputs, precision);
    const std::vector<double> weights = Weights(precision, w, outputs, inputs);
    for (const int rows : {1, 2, 7, 8, 9, 31, 64, 65, 130, 200}) {
      const std::vector<float> x = Random((rows + Linear::kPaddingRows) * inputs, 5 + rows);
      const std::vector<float> residual = Random(rows * outputs, 6);
      const std::vector<double> values = Activations(precision, x, rows, inputs);
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
          const double tolerance = 1e-5 * (size + 1);
          ASSERT_NEAR(y[r * outputs + n], std::max(sum, 0.0), tolerance) << rows << " " << inputs << " " << n;
          ASSERT_NEAR(z[r * outputs + n], sum + residual[r * outputs + n], tolerance);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Paths, LinearPrecisionTest,
                         ::testing::Combine(::testing::Values(Precision::kBf16, Precision::kInt8), ::testing::Bool()),
                         [](const auto& info) {
                           return std::string(PrecisionName(std::get<0>(info.param))) +
                                  (std::get<1>(info.param) ? "Loops" : "Ukernel");
                         });

TEST(LinearPrecisionBytesTest, ShrinkWithThePrecision) {
  const std::vector<float> w = Random(384 * 384, 1);
  const int64_t f32 = Linear(w, {}, 384, 384).bytes();
  EXPECT_LT(Linear(w, {}, 384, 384, Precision::kBf16).bytes(), f32 * 0.51);
  EXPECT_LT(Linear(w, {}, 384, 384, Precision::kInt8).bytes(), f32 * 0.27);
}

// 255 x 127 twice does not fit the 16 bits that a CPU without VNNI adds in; +-63 does.
TEST(LinearPrecisionSaturationTest, TheLargestProductsAreExact) {
  constexpr int kInputs = 256;
  WorkTeam team(1);
  WorkTeam::Session session(team);
  const std::vector<float> w(kInputs * 16, 1.0f);
  const Linear linear(w, {}, 16, kInputs, Precision::kInt8);
  std::vector<float> x((1 + Linear::kPaddingRows) * kInputs, 2.0f), y((1 + Linear::kPaddingRows) * 16);
  x[0] = 0.0f;  // the rest are at the top of the range
  linear.Run(session, x.data(), 1, Activation::kNone, y.data());
  EXPECT_NEAR(y[3], 2.0f * (kInputs - 1), 1e-2);
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
