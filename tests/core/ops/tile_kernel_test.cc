// TileKernel against its definition and against the kernels it stands in for; nothing to test where there is no AMX.
#include "core/ops/tile_kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/ops/block_kernel.h"
#include "core/ops/quantize.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

constexpr int kColumns = 48;
constexpr float kUntouched = -77;

class TileKernelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasTileKernel(UkernelData::kBf16)) GTEST_SKIP() << "no AMX here";
  }
};

std::vector<uint16_t> Bf16(size_t size, int seed) {
  std::vector<uint16_t> values;
  for (const float x : Random(size, seed)) values.push_back(ToBf16(x));
  return values;
}

TEST_F(TileKernelTest, MultipliesBf16AtEveryRowCount) {
  for (const int k : {32, 96, 256, 384, 1056}) {
    const int lda = k + 32, stride = kColumns + 5;
    const std::vector<uint16_t> b = Bf16(static_cast<size_t>(k) * kColumns, k);  // [k / 2, columns, 2]
    for (int rows = 1; rows <= UkernelTable::kMaxRows; ++rows) {
      SCOPED_TRACE(absl::StrCat(rows, " rows, ", k, " inputs"));
      const std::vector<uint16_t> a = Bf16(static_cast<size_t>(rows + kTilePaddingRows) * lda, rows);
      std::vector<float> c(static_cast<size_t>(rows + kTilePaddingRows) * stride, kUntouched);
      TileRegisters registers;
      MultiplyBf16Tiles(registers, {reinterpret_cast<const std::byte*>(a.data()), lda * int64_t{2}, rows},
                        {reinterpret_cast<const std::byte*>(b.data()), k, rows % 2 == 0}, c.data(), stride);
      for (int r = 0; r < rows; ++r) {
        for (int n = 0; n < stride; ++n) {
          double sum = n < kColumns ? 0 : kUntouched;
          for (int i = 0; n < kColumns && i < k; ++i) {
            sum += double{FromBf16(a[r * lda + i])} * FromBf16(b[(i / 2 * kColumns + n) * 2 + i % 2]);
          }
          ASSERT_NEAR(c[r * stride + n], sum, 1e-5 * std::sqrt(k)) << r << ", " << n;
        }
      }
    }
  }
}

TEST_F(TileKernelTest, MultipliesAsManyColumnsAsThereAre) {
  constexpr int kSteps = 11, kInputs = kSteps * kTileHalves;  // more than a chunk
  for (const int tiles : {1, 2, 3, 4, 7}) {
    const int columns = tiles * kTileColumns, width = columns + 8;  // pairs of B lie further apart than they are wide
    const std::vector<uint16_t> b = Bf16(static_cast<size_t>(kInputs) * width, tiles);
    for (const int rows : {1, 16, 17, 40, 63}) {
      SCOPED_TRACE(absl::StrCat(rows, " rows, ", tiles, " tiles of columns"));
      const std::vector<uint16_t> a = Bf16(static_cast<size_t>(rows + kTilePaddingRows) * kInputs, rows);
      std::vector<float> c(static_cast<size_t>(rows + kTilePaddingRows) * width, kUntouched);
      TileRegisters registers;
      MultiplyTiles(registers, {reinterpret_cast<const std::byte*>(a.data()), kInputs * int64_t{2}, rows},
                    {reinterpret_cast<const std::byte*>(b.data()), width * int64_t{4}, tiles, kSteps}, c.data(), width);
      for (int i = 0; i < rows * width; ++i) {
        const int r = i / width, n = i % width;
        double sum = n < columns ? 0 : kUntouched;
        for (int k = 0; n < columns && k < kInputs; ++k) {
          sum += double{FromBf16(a[r * kInputs + k])} * FromBf16(b[(k / 2 * width + n) * 2 + k % 2]);
        }
        ASSERT_NEAR(c[i], sum, 2e-4) << r << ", " << n;
      }
    }
  }
}

TEST_F(TileKernelTest, ScalesBytesToTheBitsOfTheBlockKernel) {
  constexpr int kOutputs = 100;  // of the whole layer: columns of a block lie in the middle
  ASSERT_EQ(BlockKernelColumns(), kColumns);
  for (const int k : {64, 192}) {
    for (const int groups : {1, 2, 5}) {
      for (int rows = 1; rows <= UkernelTable::kMaxRows; ++rows) {
        SCOPED_TRACE(absl::StrCat(rows, " rows, ", groups, " groups of ", k));
        std::mt19937 random(rows * 31 + groups);
        std::uniform_int_distribution<int> level(0, 255), weight(-127, 127);
        std::vector<uint8_t> a(static_cast<size_t>(rows + kTilePaddingRows) * groups * k);
        std::vector<int8_t> b(static_cast<size_t>(groups) * k * kColumns);
        for (uint8_t& x : a) x = static_cast<uint8_t>(level(random));
        for (int8_t& x : b) x = static_cast<int8_t>(weight(random));
        const std::vector<float> row_scales = Random(rows * groups, 1), row_offsets = Random(rows * groups, 2);
        const std::vector<float> weight_scales = Random(kOutputs * groups, 3), sums = Random(kOutputs * groups, 4);
        const GroupScales scales = {.groups = groups,
                                    .row_scales = row_scales.data(),
                                    .row_offsets = row_offsets.data(),
                                    .weight_scales = weight_scales.data() + 3,
                                    .weight_sums = sums.data() + 3,
                                    .row_stride = rows,
                                    .column_stride = kOutputs};
        const BlockRows from = {reinterpret_cast<const std::byte*>(a.data()), int64_t{groups} * k, rows};
        const BlockWeights weights = {reinterpret_cast<const std::byte*>(b.data()), k, rows % 2 == 0};
        constexpr int kStride = kColumns + 3;
        std::vector<float> c(static_cast<size_t>(rows) * kStride, kUntouched), expected = c;
        TileRegisters registers;
        MultiplyByteTiles(registers, from, weights, scales, c.data(), kStride);
        MultiplyScaledBlock(UkernelData::kU8S8, from, weights, scales, expected.data(), kStride);
        ASSERT_EQ(c, expected);
      }
    }
  }
}

TEST_F(TileKernelTest, EveryThreadHasRegistersOfItsOwn) {
  constexpr int kThreads = 4, kInputs = 320, kTimes = 200;
  const std::vector<uint16_t> b = Bf16(size_t{kInputs} * kColumns, 1);
  std::vector<std::vector<float>> results(kThreads), alone(kThreads);
  const auto multiply = [&](int t) {
    const int rows = 3 + 13 * t;
    const std::vector<uint16_t> a = Bf16(static_cast<size_t>(rows + kTilePaddingRows) * kInputs, t);
    std::vector<float> c(static_cast<size_t>(rows + kTilePaddingRows) * kColumns);
    TileRegisters registers;
    MultiplyBf16Tiles(registers, {reinterpret_cast<const std::byte*>(a.data()), kInputs * int64_t{2}, rows},
                      {reinterpret_cast<const std::byte*>(b.data()), kInputs, false}, c.data(), kColumns);
    return c;
  };
  for (int t = 0; t < kThreads; ++t) alone[t] = multiply(t);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTimes; ++i) {
        results[t] = multiply(t);
        ASSERT_EQ(results[t], alone[t]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(HasTileKernelTest, IsOfBf16BytesAndSlicesOnly) {
  EXPECT_EQ(HasTileKernel(UkernelData::kBf16), HasTileKernel(UkernelData::kU8S8));
  EXPECT_EQ(HasTileKernel(UkernelData::kBf16), HasTileKernel(UkernelData::kF32Slices));
  for (const UkernelData data :
       {UkernelData::kF32, UkernelData::kF32Bf16, UkernelData::kF16, UkernelData::kF32S8, UkernelData::kF16S8}) {
    EXPECT_FALSE(HasTileKernel(data));
  }
}

}  // namespace
}  // namespace attnd
