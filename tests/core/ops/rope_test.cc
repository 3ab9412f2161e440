// RoPE and RMSNorm against their definitions in double, on every path this CPU has.
#include "core/ops/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "core/base/cpu.h"
#include "core/ops/rms_norm.h"
#include "tests/core/ops/on_every_target.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

TEST(RopeTest, TurnsPairsByTheirAngles) {
  OnEveryTarget([] {
    struct Shape {
      int heads, head_dim, rotary_dim;
    };
    for (const Shape& shape : {Shape{3, 64, 64}, Shape{2, 20, 10}, Shape{1, 6, 6}, Shape{4, 32, 8}}) {
      for (const RopeLayout layout : {RopeLayout::kHalves, RopeLayout::kInterleaved}) {
        const RopeTable table({.rotary_dim = shape.rotary_dim, .theta = 500.0}, 50);
        const std::vector<int32_t> positions = {7, 0, 49, 7};
        const int stride = shape.heads * shape.head_dim + 3;
        const std::vector<float> before = Random(positions.size() * stride, 1);
        std::vector<float> x = before;
        table.Rotate(layout, positions.data(), static_cast<int>(positions.size()), shape.heads, shape.head_dim, stride,
                     x.data());
        std::vector<float> expected = before;
        const int pairs = shape.rotary_dim / 2;
        for (size_t r = 0; r < positions.size(); ++r) {
          for (int h = 0; h < shape.heads; ++h) {
            for (int i = 0; i < pairs; ++i) {
              const size_t at = r * stride + h * shape.head_dim;
              const size_t a = at + (layout == RopeLayout::kHalves ? i : 2 * i);
              const size_t b = at + (layout == RopeLayout::kHalves ? i + pairs : 2 * i + 1);
              const double angle = positions[r] * std::pow(500.0, -2.0 * i / shape.rotary_dim);
              expected[a] = static_cast<float>(before[a] * std::cos(angle) - before[b] * std::sin(angle));
              expected[b] = static_cast<float>(before[b] * std::cos(angle) + before[a] * std::sin(angle));
            }
          }
        }
        for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], expected[i], 1e-5) << i;
      }
    }
  });
}

TEST(RopeTest, LinearDividesEveryFrequency) {
  const auto plain = RopeFrequencies({.rotary_dim = 8});
  const auto scaled = RopeFrequencies({.rotary_dim = 8, .scaling = {.kind = RopeScalingKind::kLinear, .factor = 4}});
  EXPECT_FLOAT_EQ(plain[1], 0.1f);
  for (int i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(scaled[i], plain[i] / 4);
}

// Worked by hand: theta 10000, 8 dimensions: frequencies 1, 0.1, 0.01, 0.001; wavelengths 6.28, 62.8, 628, 6283.
TEST(RopeTest, Llama3StretchesLongWavesOnly) {
  const auto scaled = RopeFrequencies({.rotary_dim = 8,
                                       .scaling = {.kind = RopeScalingKind::kLlama3,
                                                   .factor = 8,
                                                   .original_positions = 1000,
                                                   .low_freq_factor = 1,
                                                   .high_freq_factor = 4}});
  EXPECT_FLOAT_EQ(scaled[0], 1.0f);       // below 1000 / 4
  EXPECT_FLOAT_EQ(scaled[1], 0.1f);       // below 1000 / 4
  EXPECT_NEAR(scaled[2], 0.00297, 1e-4);  // between: smooth = (1000 / 628.3 - 1) / 3 = 0.1972
  EXPECT_NEAR(scaled[2], (1 - 0.197183) * 0.01 / 8 + 0.197183 * 0.01, 1e-7);
  EXPECT_FLOAT_EQ(scaled[3], 0.001f / 8);  // above 1000
}

// find_correction_range of the YaRN paper's code for 64 dimensions, base 10000, 2048 positions: pairs 8.07 -> 8 and
// 20.1 -> 21; between them the stretch grows linearly.
TEST(RopeTest, YarnStretchesBetweenItsPairs) {
  const RopeOptions options{.rotary_dim = 64,
                            .scaling = {.kind = RopeScalingKind::kYarn, .factor = 16, .original_positions = 2048}};
  const auto plain = RopeFrequencies({.rotary_dim = 64});
  const auto scaled = RopeFrequencies(options);
  const double low = std::floor(64 * std::log(2048 / (32 * 2 * M_PI)) / (2 * std::log(10000.0)));
  const double high = std::ceil(64 * std::log(2048 / (1 * 2 * M_PI)) / (2 * std::log(10000.0)));
  EXPECT_FLOAT_EQ(scaled[static_cast<int>(low)], plain[static_cast<int>(low)]);
  EXPECT_FLOAT_EQ(scaled[static_cast<int>(high)], plain[static_cast<int>(high)] / 16);
  const int middle = static_cast<int>((low + high) / 2);
  const double share = (middle - low) / (high - low);
  EXPECT_NEAR(scaled[middle] / plain[middle], share / 16 + (1 - share), 1e-6);
  // Position 0 shows the factor alone.
  std::vector<float> x(64, 1.0f);
  const int32_t position = 0;
  RopeTable(options, 1).Rotate(RopeLayout::kHalves, &position, 1, 1, 64, 64, x.data());
  EXPECT_NEAR(x[5], 0.1 * std::log(16.0) + 1, 1e-6);
}

TEST(RopeTest, FactorsDivideTheirFrequencies) {
  const auto scaled =
      RopeFrequencies({.rotary_dim = 4, .scaling = {.kind = RopeScalingKind::kFactors, .factors = {1.0, 2.5}}});
  EXPECT_FLOAT_EQ(scaled[0], 1.0f);
  EXPECT_FLOAT_EQ(scaled[1], 0.01f / 2.5f);
}

TEST(RmsNormTest, IsItsDefinition) {
  OnEveryTarget([] {
    for (const int columns : {1, 7, 64, 100, 576}) {
      const int rows = 3;
      const std::vector<float> x = Random(rows * columns, 3), weight = Random(columns, 4);
      std::vector<float> y(x.size());
      RmsNorm(x.data(), weight.data(), 1e-5f, rows, columns, y.data());
      for (int r = 0; r < rows; ++r) {
        double squares = 0;
        for (int c = 0; c < columns; ++c) squares += double{x[r * columns + c]} * x[r * columns + c];
        const double scale = 1 / std::sqrt(squares / columns + 1e-5);
        for (int c = 0; c < columns; ++c) {
          EXPECT_NEAR(y[r * columns + c], x[r * columns + c] * scale * weight[c], 2e-5);
        }
      }
      std::vector<float> in_place = x;
      RmsNorm(in_place.data(), weight.data(), 1e-5f, rows, columns, in_place.data());
      EXPECT_EQ(in_place, y);
    }
  });
}

}  // namespace
}  // namespace attnd
