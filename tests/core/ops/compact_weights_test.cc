// f32 weights that a file had in fewer bits: found again, kept so, and multiplied as before.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/ops/block_kernel.h"
#include "core/ops/linear.h"
#include "core/ops/quantize.h"
#include "core/ops/row_kernel.h"
#include "tests/core/ops/on_every_target.h"
#include "tests/core/ops/random.h"

namespace attnd {
namespace {

// Blocks as a file of `level` (127: Q8_0, 8 or 7: Q4_0, 16 or 15: Q5_0) has them: a scale of eleven bits, and one value
// at -level or level. Scales are of so many magnitudes, in powers of two.
std::vector<float> Blocks(int count, int level, uint32_t seed, int magnitudes = 26) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int> value(-level + 1, level - 1), scale(1024, 2047), exponent(6 - magnitudes, 5),
      sign(0, 1);
  std::vector<float> weights;
  for (int b = 0; b < count; ++b) {
    const float d =
        std::ldexp(static_cast<float>(scale(random)), exponent(random) - 10) * (sign(random) ? 1.0f : -1.0f);
    for (int i = 0; i < kScaledInputs; ++i) {
      weights.push_back(d * static_cast<float>(i == b % kScaledInputs ? -level : value(random)));
    }
  }
  return weights;
}

TEST(FindScaledBytesTest, FindsWhatFilesHave) {
  OnEveryTarget([] {
    for (const int level : {127, 8, 7, 16, 15}) {
      const std::vector<float> weights = Blocks(200, level, level);
      for (size_t at = 0; at < weights.size(); at += kScaledInputs) {
        int8_t q[kScaledInputs];
        float scale = 0;
        ASSERT_TRUE(FindScaledBytes(weights.data() + at, q, &scale)) << level << " " << at;
        for (int i = 0; i < kScaledInputs; ++i) ASSERT_EQ(scale * static_cast<float>(q[i]), weights[at + i]);
      }
    }
    const std::vector<float> zeros(kScaledInputs);
    int8_t q[kScaledInputs];
    float scale = 1;
    EXPECT_TRUE(FindScaledBytes(zeros.data(), q, &scale));
    EXPECT_EQ(scale * static_cast<float>(q[0]), 0.0f);
  });
}

TEST(FindScaledBytesTest, FindsNothingElsewhere) {
  OnEveryTarget([] {
    int8_t q[kScaledInputs];
    float scale = 0;
    for (uint32_t seed = 0; seed < 50; ++seed) {
      EXPECT_FALSE(FindScaledBytes(Random(kScaledInputs, seed).data(), q, &scale));
      std::vector<float> off = Blocks(1, 127, seed);
      float& last = off[kScaledInputs - 1];
      last = last == 0 ? 1e-9f : std::nextafter(last, 2 * last);
      EXPECT_FALSE(FindScaledBytes(off.data(), q, &scale)) << seed;
      for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        last = bad;
        EXPECT_FALSE(FindScaledBytes(off.data(), q, &scale)) << seed;
      }
    }
  });
}

// A block of kF32S8 and the weights that it stands for.
struct Block {
  Block(int k, int columns) : k(k), columns(columns), weights(size_t{1} * k * columns) {
    std::mt19937 random(k);
    std::uniform_int_distribution<int> value(-127, 127);
    for (int g = 0; g < k / kScaledInputs; ++g) {
      const std::vector<float> scales = Random(columns, g + 1, 0.01f);
      const auto* bytes = reinterpret_cast<const std::byte*>(scales.data());
      packed.insert(packed.end(), bytes, bytes + columns * sizeof(float));
      for (int i = 0; i < kScaledInputs * columns; ++i) {
        const int q = value(random);
        packed.push_back(static_cast<std::byte>(q));
        weights[size_t{1} * g * kScaledInputs * columns + i] = scales[i % columns] * static_cast<float>(q);
      }
    }
  }
  double Product(const float* a, int n) const {
    double sum = 0;
    for (int i = 0; i < k; ++i) sum += double{a[i]} * weights[size_t{1} * i * columns + n];
    return sum;
  }
  int k, columns;
  std::vector<std::byte> packed;  // [k / kScaledInputs] of [columns] scales and [kScaledInputs, columns] bytes
  std::vector<float> weights;     // [k, columns]
};

TEST(CompactWeightsTest, BlocksAreMultiplied) {
  OnEveryTarget([] {
    for (const int k : {32, 192, 736, 1536}) {  // within a chunk, one, several and what is left
      const Block block(k, BlockKernelColumns());
      for (const int rows : {1, 2, 7, 8, 9, 33, 64}) {
        SCOPED_TRACE(absl::StrCat(rows, " rows, ", k, " inputs"));
        const std::vector<float> a = Random(size_t{1} * rows * k, rows);
        std::vector<float> c(size_t{1} * rows * block.columns);
        MultiplyFloatBlock(UkernelData::kF32S8,
                           {reinterpret_cast<const std::byte*>(a.data()), k * int64_t{sizeof(float)}, rows},
                           {block.packed.data(), k, true}, c.data(), block.columns);
        for (size_t i = 0; i < c.size(); ++i) {
          const int n = static_cast<int>(i) % block.columns;
          ASSERT_NEAR(c[i], block.Product(a.data() + i / block.columns * k, n), 1e-3) << i;
        }
      }
    }
  });
}

TEST(CompactWeightsTest, SingleRowsAreMultiplied) {
  OnEveryTarget([] {
    for (int count = 1; count <= 9; ++count) {
      const Block block(96, 16);
      std::vector<std::byte> blocks;
      for (int i = 0; i < count; ++i) blocks.insert(blocks.end(), block.packed.begin(), block.packed.end());
      const std::vector<float> a = Random(block.k, 7);
      std::vector<float> c(count * block.columns);
      MultiplyRow(UkernelData::kF32S8, a.data(), block.k,
                  {.first = blocks.data(),
                   .stride = static_cast<int64_t>(block.packed.size()),
                   .count = count,
                   .columns = block.columns},
                  c.data());
      for (size_t i = 0; i < c.size(); ++i) {
        ASSERT_NEAR(c[i], block.Product(a.data(), static_cast<int>(i) % block.columns), 1e-4) << count << " " << i;
      }
    }
  });
}

TEST(CompactWeightsTest, LinearMultipliesThemAsBeforeInLessMemory) {
  constexpr int kOutputs = 130, kInputs = 320;  // a last block that is narrow
  WorkTeam team(2);
  WorkTeam::Session session(team);
  std::vector<float> halves = Random(kOutputs * kInputs, 1);
  for (float& w : halves) w = FromBf16(ToBf16(w));
  const std::vector<float> bias = Random(kOutputs, 2);
  const bool own = HasBlockKernel(UkernelData::kF32S8, BlockKernelColumns(), kInputs);
  for (const auto& [weights, share] :
       {std::pair(Blocks(kOutputs * kInputs / kScaledInputs, 127, 3), own ? 0.33 : 1.0), {halves, 0.6}}) {
    const Linear plain(weights, bias, kOutputs, kInputs);
    const Linear compact(weights, bias, kOutputs, kInputs, Precision::kF32, kDecoderGroupInputs, /*compact=*/true);
    EXPECT_LE(compact.bytes(), share * kOutputs * kInputs * sizeof(float) + 4 * kOutputs + 4096);
    for (const int rows : {1, 2, 8, 40, 64, 131}) {
      const std::vector<float> x = Random((rows + Linear::kPaddingRows) * kInputs, rows);
      std::vector<float> y((rows + Linear::kPaddingRows) * kOutputs), expected(y.size());
      plain.Run(session, x.data(), rows, Activation::kNone, expected.data());
      compact.Run(session, x.data(), rows, Activation::kNone, y.data());
      float largest = 0;
      for (int i = 0; i < rows * kOutputs; ++i) largest = std::max(largest, std::abs(expected[i]));
      for (int i = 0; i < rows * kOutputs; ++i) ASSERT_NEAR(y[i], expected[i], 1e-5f * largest) << rows << " " << i;
    }
  }
}

// f16 weights from bytes are those from f32, to the bit, and so are sums where both have the same groups of inputs.
TEST(CompactWeightsTest, F16FromBytesIsTheSameInLessMemory) {
  if (HalvesData() != UkernelData::kF16) GTEST_SKIP() << "other weights are not f16 on this CPU";
  constexpr int kOutputs = 130, kInputs = 320;  // a last block that is narrow
  WorkTeam team(2);
  WorkTeam::Session session(team);
  const std::vector<float> bias = Random(kOutputs, 2);
  for (const int level : {127, 8, 16}) {
    // Scales far below the largest of their group would not be normal f16: such weights stay 16 bits wide.
    for (const auto& [magnitudes, share] : {std::pair(7, 0.6), {26, 1.0}}) {
      const std::vector<float> weights = Blocks(kOutputs * kInputs / kScaledInputs, level, 3, magnitudes);
      const Linear plain(weights, bias, kOutputs, kInputs, Precision::kBf16);
      const Linear compact(weights, bias, kOutputs, kInputs, Precision::kBf16, kDecoderGroupInputs, /*compact=*/true);
      EXPECT_LE(static_cast<double>(compact.bytes()), share * static_cast<double>(plain.bytes()));
      EXPECT_GE(static_cast<double>(compact.bytes()), (share - 0.1) * static_cast<double>(plain.bytes()));
      for (const int rows : {1, 2, 8, 9, 40, 64, 131}) {
        const std::vector<float> x = Random((rows + Linear::kPaddingRows) * kInputs, rows);
        std::vector<float> y((rows + Linear::kPaddingRows) * kOutputs), expected(y.size());
        plain.Run(session, x.data(), rows, Activation::kNone, expected.data());
        compact.Run(session, x.data(), rows, Activation::kNone, y.data());
        ASSERT_EQ(y, expected) << rows << " rows, level " << level << ", magnitudes " << magnitudes;
      }
    }
  }
}

TEST(CompactWeightsTest, F16FromBytesInGroupsOfItsOwn) {
  if (!HasF16Kernel()) GTEST_SKIP() << "no AVX512-FP16 on this CPU";
  constexpr int kOutputs = 96;
  WorkTeam team(2);
  WorkTeam::Session session(team);
  for (const int inputs : {32, 896, 928, 2048}) {
    const std::vector<float> weights = Blocks(kOutputs * inputs / kScaledInputs, 127, 3, 7);
    const Linear exact(weights, {}, kOutputs, inputs);
    const Linear compact(weights, {}, kOutputs, inputs, Precision::kBf16, kDecoderGroupInputs, /*compact=*/true);
    EXPECT_LT(compact.bytes(), exact.bytes() / 2);
    for (const int rows : {1, 9}) {
      const std::vector<float> x = Random((rows + Linear::kPaddingRows) * inputs, rows);
      std::vector<float> y((rows + Linear::kPaddingRows) * kOutputs), expected(y.size());
      exact.Run(session, x.data(), rows, Activation::kNone, expected.data());
      compact.Run(session, x.data(), rows, Activation::kNone, y.data());
      float largest = 0;
      for (const float value : expected) largest = std::max(largest, std::abs(value));
      for (int i = 0; i < rows * kOutputs; ++i) ASSERT_NEAR(y[i], expected[i], 1e-2f * largest) << inputs << " " << i;
    }
  }
}

// A layer of bytes quantises for one of f16 weights, and the other way round.
TEST(CompactWeightsTest, F16FromBytesBesideF16) {
  if (HalvesData() != UkernelData::kF16) GTEST_SKIP() << "other weights are not f16 on this CPU";
  constexpr int kWidth = 384, kRows = 300;
  WorkTeam team(2);
  WorkTeam::Session session(team);
  const auto layer = [&](const std::vector<float>& weights) {
    return Linear(weights, {}, kWidth, kWidth, Precision::kBf16, kDecoderGroupInputs, /*compact=*/true);
  };
  const Linear bytes = layer(Blocks(kWidth * kWidth / kScaledInputs, 127, 3, 7));
  const Linear halves = layer(Random(kWidth * kWidth, 4));
  ASSERT_LT(bytes.bytes(), halves.bytes() * 2 / 3);
  const std::vector<float> x = Random((kRows + Linear::kPaddingRows) * kWidth, 5);
  for (const auto& [first, next] : {std::pair(&bytes, &halves), {&halves, &bytes}}) {
    LinearRows rows;
    std::vector<float> between(x.size()), y(x.size()), expected(x.size());
    first->Run(session, x.data(), kRows, Activation::kNone, *next, rows);
    EXPECT_EQ(rows.floats(), nullptr);
    next->Run(session, rows, kRows, Activation::kNone, y.data());
    first->Run(session, x.data(), kRows, Activation::kNone, between.data());
    next->Run(session, between.data(), kRows, Activation::kNone, expected.data());
    EXPECT_EQ(y, expected);
  }
}

}  // namespace
}  // namespace attnd
