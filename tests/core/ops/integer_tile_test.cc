// ScaleSums against their definition in double, on every path this CPU has.
#include "core/ops/integer_tile.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/core/ops/on_every_target.h"

namespace attnd {
namespace {

constexpr int kRows = 5, kMost = IntegerTile::kMaxGroups, kSumsStride = 48, kStride = 50;

struct Sums {
  Sums(int columns, int groups, bool accumulate) {
    std::mt19937 random(columns);
    std::uniform_int_distribution<int32_t> level(-2'000'000, 2'000'000);
    std::normal_distribution<float> normal(0, 1);
    sums.resize(kMost * kRows * kSumsStride);
    for (int32_t& sum : sums) sum = level(random);
    for (auto* values : {&row_scales, &row_offsets}) {
      values->resize(kMost * (kRows + 2));
      for (float& value : *values) value = 0.01f * normal(random);
    }
    for (auto* values : {&weight_scales, &weight_sums}) {
      values->resize(kMost * columns);
      for (float& value : *values) value = 0.001f * normal(random);
    }
    before.resize(kRows * kStride);
    for (float& value : before) value = normal(random);
    tile = {.sums = sums.data(),
            .sums_stride = kSumsStride,
            .group_stride = kRows * kSumsStride,
            .scales = {.groups = groups,
                       .row_scales = row_scales.data(),
                       .row_offsets = row_offsets.data(),
                       .weight_scales = weight_scales.data(),
                       .weight_sums = weight_sums.data(),
                       .row_stride = kRows + 2,
                       .column_stride = columns},
            .accumulate = accumulate};
  }
  double Value(int r, int c) const {
    double value = tile.accumulate ? before[r * kStride + c] : 0.0;
    for (int g = 0; g < tile.scales.groups; ++g) {
      const int64_t row = g * tile.scales.row_stride + r, column = g * tile.scales.column_stride + c;
      value += double{row_scales[row]} * weight_scales[column] * sums[g * tile.group_stride + r * kSumsStride + c] +
               double{row_offsets[row]} * weight_sums[column];
    }
    return value;
  }

  std::vector<int32_t> sums;
  std::vector<float> row_scales, row_offsets, weight_scales, weight_sums, before;
  IntegerTile tile;
};

void ExpectDefinition(const Sums& from, int columns) {
  std::vector<float> scaled = from.before;
  ScaleSums(from.tile, kRows, columns, kStride, scaled.data());
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < columns; ++c) {
      const int at = r * kStride + c;
      EXPECT_NEAR(scaled[at], from.Value(r, c), 1e-4);
    }
    for (int c = columns; c < kStride; ++c) EXPECT_EQ(scaled[r * kStride + c], from.before[r * kStride + c]);
  }
}

TEST(IntegerTileTest, IsItsDefinition) {
  OnEveryTarget([] {
    for (const int columns : {1, 7, 16, 45}) {
      for (int groups = 1; groups <= IntegerTile::kMaxGroups; ++groups) {
        ExpectDefinition(Sums(columns, groups, false), columns);
        ExpectDefinition(Sums(columns, groups, true), columns);
      }
    }
  });
}

}  // namespace
}  // namespace attnd
