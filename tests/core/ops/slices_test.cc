// Slices and SliceKernel against their definition, and beside f32's own sums.
#include "core/ops/slices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/work_team.h"
#include "core/ops/linear.h"
#include "core/ops/tile_kernel.h"
#include "core/ops/ukernel.h"
#include "tests/core/ops/on_every_target.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

// Value c of a row that was sliced with that height.
double ValueAt(const std::vector<int8_t>& bytes, int c, int height, float scale) {
  const int8_t* first = bytes.data() + c / kTileBytes * kSlices * height * kTileBytes + c % kTileBytes;
  const int64_t slice = int64_t{height} * kTileBytes;
  return double{scale} * (first[0] + first[slice] / 0x1p8 + first[2 * slice] / 0x1p16);
}

void ExpectSliced(const std::vector<float>& x, int height) {
  const int columns = static_cast<int>(x.size()), stride = (columns + kTileBytes - 1) / kTileBytes * kTileBytes;
  std::vector<int8_t> bytes(size_t{1} * stride * kSlices * height, 77);
  float scale = 0;
  SliceRow(x.data(), columns, stride, height, bytes.data(), &scale);
  float largest = 0;
  for (const float value : x) largest = std::max(largest, std::abs(value));
  for (int c = 0; c < stride; ++c) {
    const double value = c < columns ? x[c] : 0.0f;
    // Half of the last place, and as much by rounding of the scale and of the product with its inverse.
    ASSERT_NEAR(ValueAt(bytes, c, height, scale), value, 0x1.9p-23 * largest + 1e-36) << c;
    for (int64_t i = 0; i < int64_t{kSlices} * height; ++i) {
      if (i % height == 0) continue;  // the row's own line
      ASSERT_EQ(bytes[c / kTileBytes * kSlices * height * kTileBytes + i * kTileBytes + c % kTileBytes], 77);
    }
  }
}

TEST(SlicesTest, AreTheValuesTo24Bits) {
  OnEveryTarget([] {
    for (const int columns : {1, 15, 16, 17, 63, 64, 65, 192, 300, 384}) {
      for (const int height : {1, 2, 16}) {
        SCOPED_TRACE(absl::StrCat(columns, " columns, height ", height));
        ExpectSliced(Random(columns, columns), height);
        std::vector<float> x = Random(columns, height, 1e-3f);
        x[columns / 2] = -1e4f;  // the others are small beside it
        ExpectSliced(x, height);
      }
    }
  });
}

TEST(SlicesTest, TheEndsOfTheRangeFit) {
  OnEveryTarget([] {
    for (uint32_t seed = 0; seed < 2000; ++seed) {  // whatever the inverse is rounded to
      const float largest = std::abs(Random(1, seed)[0]);
      ExpectSliced({largest, -largest, 0.0f, largest / 2, std::nextafter(largest, 0.0f)}, 1);
    }
    for (const float largest : {0.0f, 1e-45f, 1e-38f, 1e-30f, 1e30f, std::numeric_limits<float>::max()}) {
      ExpectSliced({0.0f, largest, -largest, largest / 3}, 1);
    }
  });
}

TEST(SlicesTest, WhatIsNotFiniteMakesTheScaleNan) {
  OnEveryTarget([] {
    for (const float bad : {kInfinity, -kInfinity, kNan}) {
      std::vector<float> x = Random(100, 1);
      x[37] = bad;
      std::vector<int8_t> bytes(128 * kSlices);
      float scale = 0;
      SliceRow(x.data(), 100, 128, 1, bytes.data(), &scale);
      EXPECT_TRUE(std::isnan(scale));
    }
  });
}

TEST(SlicesTest, EveryRowHasAPlaceOfItsOwn) {
  constexpr int kInputs = 256, kGroup = 128;
  constexpr int64_t kRowBytes = int64_t{kInputs} * kSlices;
  for (const int rows : {1, 15, 16, 17, 40, 63, 64, 65, 100, 128, 200}) {
    std::set<int64_t> lines;
    for (int r = 0; r < rows; ++r) {
      for (int first = 0; first < kInputs; first += kGroup) {
        const SlicePlace place = PlaceOfSlices(rows, r, kRowBytes, first);
        ASSERT_LE(place.height, kRegisterRows);
        for (int i = 0; i < kGroup / kTileBytes * kSlices; ++i) {
          const int64_t line = place.offset + int64_t{i} * place.height * kTileBytes;
          ASSERT_EQ(line % kTileBytes, 0);
          ASSERT_LE(line + kTileBytes, (rows + kTilePaddingRows) * kRowBytes);
          ASSERT_TRUE(lines.insert(line).second) << rows << ", " << r;
        }
      }
    }
  }
}

class SliceKernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasTileKernel(UkernelData::kF32Slices)) GTEST_SKIP() << "no AMX here";
  }
};

double Product(const float* x, const float* w, int inputs) {
  double sum = 0;
  for (int i = 0; i < inputs; ++i) sum += double{x[i]} * w[i];
  return sum;
}

TEST_F(SliceKernelTest, MultipliesAtEveryRowCount) {
  WorkTeam team(2);
  WorkTeam::Session session(team);
  struct Shape {
    int outputs, inputs;
  };
  // Blocks and tiles of columns that are not whole, groups of one size and padded ones, a step that is not whole.
  for (const Shape& s : {Shape{48, 64}, {130, 320}, {2, 384}, {49, 385}, {96, 1100}}) {
    const std::vector<float> w = Random(size_t{1} * s.outputs * s.inputs, s.inputs), bias = Random(s.outputs, 2);
    const Linear linear(w, bias, s.outputs, s.inputs);
    for (int rows = 1; rows <= 140; rows += rows < 70 ? 1 : 23) {
      const std::vector<float> x = Random(size_t{1} * (rows + Linear::kPaddingRows) * s.inputs, rows);
      std::vector<float> y(size_t{1} * rows * s.outputs);
      linear.Run(session, x.data(), rows, Activation::kNone, y.data());
      for (int i = 0; i < rows * s.outputs; ++i) {
        const int r = i / s.outputs, n = i % s.outputs;
        const double expected = Product(&x[r * s.inputs], &w[n * s.inputs], s.inputs) + bias[n];
        ASSERT_NEAR(y[i], expected, 3e-7 * std::sqrt(s.inputs) * 6) << rows << " rows: " << r << ", " << n;
      }
    }
  }
}

// Whatever tile of rows it is in.
TEST_F(SliceKernelTest, ARowAloneIsTheSameToTheBit) {
  WorkTeam team(2);
  WorkTeam::Session session(team);
  constexpr int kOutputs = 130, kInputs = 500, kRows = 140;
  const Linear linear(Random(kOutputs * kInputs, 1), Random(kOutputs, 2), kOutputs, kInputs);
  std::vector<float> x = Random((kRows + Linear::kPaddingRows) * kInputs, 3);
  std::vector<std::vector<float>> alone(kRows, std::vector<float>(kOutputs));
  for (int r = 0; r < kRows; ++r) linear.Run(session, &x[r * kInputs], 1, Activation::kNone, alone[r].data());
  for (const int rows : {2, 17, 33, 64, 65, 100, 140}) {
    std::vector<float> y(rows * kOutputs);
    linear.Run(session, x.data(), rows, Activation::kNone, y.data());
    for (int r = 0; r < rows; ++r) {
      ASSERT_EQ(alone[r], std::vector<float>(y.begin() + r * kOutputs, y.begin() + (r + 1) * kOutputs)) << r;
    }
  }
}

// The root of the mean square of what y is off.
double Error(const Linear& linear, WorkTeam::Session& session, const std::vector<float>& w, const std::vector<float>& x,
             int rows) {
  const int inputs = linear.inputs(), outputs = linear.outputs();
  std::vector<float> y(size_t{1} * (rows + Linear::kPaddingRows) * outputs);
  linear.Run(session, x.data(), rows, Activation::kNone, y.data());
  double sum = 0;
  for (int i = 0; i < rows * outputs; ++i) {
    const int r = i / outputs, n = i % outputs;
    sum += std::pow(y[i] - Product(&x[r * inputs], &w[n * inputs], inputs), 2);
  }
  return std::sqrt(sum / (rows * outputs));
}

// Also where one value of a row is far above the others, as some of transformers' activations are.
TEST_F(SliceKernelTest, IsAsExactAsF32) {
  WorkTeam team(1);
  WorkTeam::Session session(team);
  constexpr int kRows = 32, kOutputs = 96;
  for (const int inputs : {384, 768, 3072}) {
    const std::vector<float> w = Random(size_t{kOutputs} * inputs, inputs, 0.05f);
    const Linear slices(w, {}, kOutputs, inputs);
    ForceMatmulForTest(true);  // oneDNN's
    const Linear f32(w, {}, kOutputs, inputs);
    ForceMatmulForTest(false);
    for (const float outlier : {0.0f, 10.0f, 50.0f}) {
      std::vector<float> x = Random(size_t{kRows + Linear::kPaddingRows} * inputs, 7);
      for (int r = 0; r < kRows && outlier > 0; ++r) x[r * inputs + 5 * r] = outlier;
      EXPECT_LT(Error(slices, session, w, x, kRows), (outlier > 10 ? 2.0 : 1.1) * Error(f32, session, w, x, kRows))
          << inputs << " inputs, the largest " << outlier;
    }
  }
}

TEST_F(SliceKernelTest, WhatIsNotFiniteStaysInItsRowOrColumn) {
  WorkTeam team(1);
  WorkTeam::Session session(team);
  constexpr int kRows = 20, kOutputs = 50, kInputs = 400;
  for (const float bad : {kInfinity, kNan}) {
    std::vector<float> w = Random(kOutputs * kInputs, 1), x = Random((kRows + Linear::kPaddingRows) * kInputs, 2);
    w[3 * kInputs + 5] = bad;     // of the first group
    x[17 * kInputs + 390] = bad;  // of the second
    const Linear linear(w, {}, kOutputs, kInputs);
    std::vector<float> y(kRows * kOutputs);
    linear.Run(session, x.data(), kRows, Activation::kNone, y.data());
    for (int i = 0; i < kRows * kOutputs; ++i) {
      ASSERT_EQ(std::isnan(y[i]), i / kOutputs == 17 || i % kOutputs == 3) << i;
    }
  }
}

TEST_F(SliceKernelTest, WeightsTakeThreeBytes) {
  const std::vector<float> w = Random(384 * 384, 1);
  EXPECT_LT(Linear(w, {}, 384, 384).bytes(), 384 * 384 * 3.05);
}

}  // namespace
}  // namespace attnd
