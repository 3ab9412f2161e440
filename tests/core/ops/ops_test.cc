// Each op against its definition in double, on every path this CPU has.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/base/cpu.h"
#include "core/ops/activation.h"
#include "core/ops/layer_norm.h"
#include "core/ops/linear.h"
#include "core/ops/pooling.h"
#include "core/ops/softmax.h"
#include "tests/core/ops/on_every_target.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

double Reference(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
  }
  return 0;
}

constexpr Activation kActivations[] = {Activation::kNone, Activation::kGelu, Activation::kGeluTanh,
                                       Activation::kRelu, Activation::kSilu, Activation::kTanh};

TEST(ActivationTest, IsItsDefinition) {
  OnEveryTarget([] {
    for (const Activation activation : kActivations) {
      for (const int columns : {1, 7, 16, 45}) {
        const int rows = 3, stride = columns + 2;
        std::vector<float> x = Random(rows * stride, 1, 3.0f);
        x[0] = -30.0f;
        x[columns - 1] = 30.0f;
        const std::vector<float> before = x, bias = Random(columns, 2);
        AddBiasAndActivate(activation, bias.data(), rows, columns, x.data(), stride, x.data(), stride);
        for (int r = 0; r < rows; ++r) {
          for (int c = 0; c < columns; ++c) {
            const double in = before[r * stride + c] + bias[c];
            EXPECT_NEAR(x[r * stride + c], Reference(activation, in), 2e-6 * std::max(1.0, std::abs(in))) << in;
          }
          for (int c = columns; c < stride; ++c) EXPECT_EQ(x[r * stride + c], before[r * stride + c]);
        }
      }
    }
  });
}

TEST(ResidualTest, AddsBiasAndResidual) {
  OnEveryTarget([] {
    const int rows = 4, columns = 37, x_stride = 40, y_stride = 50;
    const std::vector<float> x = Random(rows * x_stride, 3), bias = Random(columns, 4),
                             residual = Random(rows * y_stride, 5);
    std::vector<float> y(rows * y_stride, 7.0f);
    AddBiasAndResidual(bias.data(), residual.data(), rows, columns, x.data(), x_stride, y.data(), y_stride);
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c) {
        EXPECT_NEAR(y[r * y_stride + c], double{x[r * x_stride + c]} + bias[c] + residual[r * y_stride + c], 1e-6);
      }
      for (int c = columns; c < y_stride; ++c) EXPECT_EQ(y[r * y_stride + c], 7.0f);
    }
  });
}

TEST(LayerNormTest, IsItsDefinition) {
  OnEveryTarget([] {
    for (const int columns : {1, 5, 64, 99, 384}) {
      const int rows = 3;
      std::vector<float> x = Random(rows * columns, 6);
      for (float& value : x) value += 100.0f;  // a large mean must not cancel the variance
      const std::vector<float> weight = Random(columns, 7), bias = Random(columns, 8);
      std::vector<float> y(x.size());
      LayerNorm(x.data(), weight.data(), bias.data(), 1e-5f, rows, columns, y.data());
      for (int r = 0; r < rows; ++r) {
        double mean = 0, variance = 0;
        for (int c = 0; c < columns; ++c) mean += x[r * columns + c];
        mean /= columns;
        for (int c = 0; c < columns; ++c) variance += std::pow(x[r * columns + c] - mean, 2);
        variance /= columns;
        for (int c = 0; c < columns; ++c) {
          const double expected = (x[r * columns + c] - mean) / std::sqrt(variance + 1e-5) * weight[c] + bias[c];
          EXPECT_NEAR(y[r * columns + c], expected, 1e-4) << columns;
        }
      }
      std::vector<float> in_place = x;
      LayerNorm(in_place.data(), weight.data(), bias.data(), 1e-5f, rows, columns, in_place.data());
      EXPECT_EQ(in_place, y);
    }
  });
}

TEST(SoftmaxTest, IsItsDefinitionAndHiddenRowsAreZero) {
  OnEveryTarget([] {
    constexpr float kHidden = -std::numeric_limits<float>::infinity();
    for (const int columns : {1, 9, 16, 45, 100}) {
      const int rows = 3, padded = (columns + 15) / 16 * 16, stride = padded + 16;
      std::vector<float> x = Random(rows * stride, 9, 20.0f);
      if (columns > 1) x[0] = kHidden;
      for (int c = 0; c < columns; ++c) x[2 * stride + c] = kHidden;
      const std::vector<float> before = x;
      std::vector<float> entropy(rows);
      SoftmaxRows(0.3f, rows, columns, padded, stride, x.data(), nullptr, entropy.data());
      for (int r = 0; r < rows; ++r) {
        double sum = 0, nats = 0;
        for (int c = 0; c < columns; ++c) sum += std::exp(double{0.3f} * before[r * stride + c]);
        for (int c = 0; c < columns; ++c) {
          const double expected = sum == 0 ? 0 : std::exp(double{0.3f} * before[r * stride + c]) / sum;
          EXPECT_NEAR(x[r * stride + c], expected, 1e-6);
          nats -= expected > 0 ? expected * std::log(expected) : 0;
        }
        EXPECT_NEAR(entropy[r], nats, 1e-6 * (1 + std::log(columns)));
        for (int c = columns; c < padded; ++c) EXPECT_EQ(x[r * stride + c], 0.0f);
      }
      // Unscaled, the same but for the factor.
      std::vector<float> unscaled = before, inverse_sums(rows);
      SoftmaxRows(0.3f, rows, columns, padded, stride, unscaled.data(), inverse_sums.data());
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < padded; ++c) {
          EXPECT_NEAR(unscaled[r * stride + c] * inverse_sums[r], x[r * stride + c], 1e-7);
        }
      }
    }
  });
}

TEST(PoolingTest, MeanClsMaxAndNorm) {
  const std::vector<float> hidden = {1, 2, 3, -4, 5, 0};  // [3, 2]
  float pooled[2];
  Pool(PoolingMode::kMean, hidden.data(), 3, 2, pooled);
  EXPECT_FLOAT_EQ(pooled[0], 3);
  EXPECT_NEAR(pooled[1], -2.0 / 3, 1e-6);
  Pool(PoolingMode::kCls, hidden.data(), 3, 2, pooled);
  EXPECT_EQ(pooled[0], 1);
  EXPECT_EQ(pooled[1], 2);
  Pool(PoolingMode::kMax, hidden.data(), 3, 2, pooled);
  EXPECT_EQ(pooled[0], 5);
  EXPECT_EQ(pooled[1], 2);
  NormalizeL2(2, pooled);
  EXPECT_NEAR(pooled[0], 5 / std::sqrt(29.0), 1e-6);
  float zero[2] = {0, 0};
  NormalizeL2(2, zero);
  EXPECT_EQ(zero[0], 0);
}

class LinearTest : public ::testing::TestWithParam<bool> {
 protected:
  LinearTest() { ForceMatmulForTest(GetParam()); }
  ~LinearTest() override { ForceMatmulForTest(false); }
};

TEST_P(LinearTest, IsItsDefinitionAtEveryRowCount) {
  WorkTeam team(2);
  WorkTeam::Session session(team);
  // Widths that end in the middle of a block, row counts around the tile, round and panel borders.
  for (const auto& [outputs, inputs] : std::vector<std::pair<int, int>>{{48, 64}, {50, 33}, {7, 16}, {129, 96}}) {
    const std::vector<float> weight = Random(outputs * inputs, 10), bias = Random(outputs, 11);
    const Linear linear(weight, bias, outputs, inputs);
    for (const int rows : {1, 2, 7, 8, 9, 63, 64, 65, 130}) {
      std::vector<float> x = Random((rows + Linear::kPaddingRows) * inputs, 12);
      std::vector<float> residual = Random(rows * outputs, 13);
      std::vector<float> y((rows + Linear::kPaddingRows) * outputs), sum(y.size());
      linear.Run(session, x.data(), rows, Activation::kGelu, y.data());
      linear.RunAddResidual(session, x.data(), rows, residual.data(), sum.data());
      for (int r = 0; r < rows; ++r) {
        for (int o = 0; o < outputs; ++o) {
          double expected = bias[o];
          for (int i = 0; i < inputs; ++i) expected += double{x[r * inputs + i]} * weight[o * inputs + i];
          ASSERT_NEAR(y[r * outputs + o], Reference(Activation::kGelu, expected), 2e-5) << rows << "x" << outputs;
          ASSERT_NEAR(sum[r * outputs + o], expected + residual[r * outputs + o], 2e-5) << rows << "x" << outputs;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "matmul" : "best"; });

TEST(UkernelTest, X86HasBrgemm) {
#if defined(__x86_64__)
  if (GetCpuPath() == CpuPath::kBaseline) return;
  for (const UkernelData data : {UkernelData::kF32, UkernelData::kF32Bf16, UkernelData::kU8S8}) {
    EXPECT_EQ(UkernelBackend(data), "brgemm") << static_cast<int>(data);
  }
  if (CpuHasFastBf16()) {
    EXPECT_EQ(UkernelBackend(UkernelData::kBf16), "brgemm");
  }
#endif
}

}  // namespace
}  // namespace attnd
