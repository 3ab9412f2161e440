// LinearRows: two layers one after the other, with what is between in f32 or quantised strip by strip.
#include <gtest/gtest.h>

#include <vector>

#include "core/ops/linear.h"
#include "core/ops/packed_weights.h"
#include "core/ops/tile_kernel.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

constexpr int kInputs = 100, kOutputs = 50;

struct Case {
  Precision precision;
  int lanes;
  int width;         // between the layers
  int group_inputs;  // of the second
  bool gated;
  int rows;
};

// Both ways to the same bits. Returns whether what is between was quantised.
bool BothWaysAgree(const Case& c) {
  WorkTeam team(c.lanes);
  WorkTeam::Session session(team);
  const int wide = c.gated ? 2 * c.width : c.width;
  const Linear up(Random(int64_t{wide} * kInputs, 1), c.gated ? std::vector<float>() : Random(wide, 2), wide, kInputs,
                  c.precision);
  const Linear down(Random(int64_t{kOutputs} * c.width, 3), Random(kOutputs, 4), kOutputs, c.width, c.precision,
                    c.group_inputs);
  const int padded = c.rows + Linear::kPaddingRows;
  const std::vector<float> x = Random(int64_t{padded} * kInputs, 5), residual = Random(int64_t{c.rows} * kOutputs, 6);
  std::vector<float> between(int64_t{padded} * c.width), expected(c.rows * kOutputs), y(expected.size());
  LinearRows rows;
  if (c.gated) {
    up.RunGated(session, x.data(), c.rows, Activation::kSilu, between.data());
    up.RunGated(session, x.data(), c.rows, Activation::kSilu, down, rows);
  } else {
    up.Run(session, x.data(), c.rows, Activation::kGelu, between.data());
    up.Run(session, x.data(), c.rows, Activation::kGelu, down, rows);
  }
  down.RunAddResidual(session, between.data(), c.rows, residual.data(), expected.data());
  down.RunAddResidual(session, rows, c.rows, residual.data(), y.data());
  EXPECT_EQ(y, expected);
  down.Run(session, between.data(), c.rows, Activation::kNone, expected.data());
  down.Run(session, rows, c.rows, Activation::kNone, y.data());
  EXPECT_EQ(y, expected);
  return rows.floats() == nullptr;
}

TEST(LinearRowsTest, AreQuantisedToTheSameBits) {
  for (const bool gated : {false, true}) {
    for (const int rows : {1, 2, 7, 64, 65, 130, 300}) {
      SCOPED_TRACE(testing::Message() << "rows " << rows << (gated ? " gated" : ""));
      EXPECT_TRUE(BothWaysAgree({Precision::kInt8, 2, 768, 192, gated, rows}));
      EXPECT_TRUE(BothWaysAgree({Precision::kInt8, 1, 384, 192, gated, rows}));
    }
  }
}

TEST(LinearRowsTest, StayF32WhereStripsAreNoGroups) {
  for (const bool gated : {false, true}) {
    for (const int rows : {1, 9, 130}) {
      SCOPED_TRACE(testing::Message() << "rows " << rows << (gated ? " gated" : ""));
      EXPECT_FALSE(BothWaysAgree({Precision::kInt8, 2, 200, 192, gated, rows}));   // two groups of 100
      EXPECT_FALSE(BothWaysAgree({Precision::kInt8, 2, 768, 768, gated, rows}));   // wider than a strip may be
      EXPECT_FALSE(BothWaysAgree({Precision::kInt8, 16, 768, 192, gated, rows}));  // lanes would go without
      EXPECT_EQ(BothWaysAgree({Precision::kBf16, 2, 768, 192, gated, rows}), HalvesData() != UkernelData::kF32Bf16);
    }
  }
}

TEST(LinearRowsTest, StayF32InF32ButWhereItIsSlices) {
  for (const bool gated : {false, true}) {
    for (const int rows : {1, 9, 17, 64, 65, 100, 130, 300}) {
      SCOPED_TRACE(testing::Message() << "rows " << rows << (gated ? " gated" : ""));
      EXPECT_EQ(BothWaysAgree({Precision::kF32, 1, 768, 192, gated, rows}),
                HasTileKernel(UkernelData::kF32Slices) && !gated);
      EXPECT_EQ(BothWaysAgree({Precision::kF32, 1, 192, 192, gated, rows}),
                HasTileKernel(UkernelData::kF32Slices) && rows > 128);
      EXPECT_FALSE(BothWaysAgree({Precision::kF32, 1, 200, 192, gated, rows}));
    }
  }
}

TEST(LinearRowsTest, AreReusedInEitherForm) {
  WorkTeam team(1);
  WorkTeam::Session session(team);
  LinearRows rows;
  for (const Precision precision : {Precision::kInt8, Precision::kF32, Precision::kInt8}) {
    const Linear up(Random(384 * kInputs, 1), Random(384, 2), 384, kInputs, precision);
    const Linear down(Random(kOutputs * 384, 3), {}, kOutputs, 384, precision, 192);
    const std::vector<float> x = Random((3 + Linear::kPaddingRows) * kInputs, 5);
    up.Run(session, x.data(), 3, Activation::kRelu, down, rows);
    EXPECT_EQ(rows.floats() == nullptr, precision == Precision::kInt8);
  }
}

}  // namespace
}  // namespace attnd
