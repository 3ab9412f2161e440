// MultiplyRow against its definition, on every path this CPU has.
#include "core/ops/row_kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/ops/quantize.h"
#include "tests/core/ops/on_every_target.h"

namespace attnd {
namespace {

constexpr int kColumns = 16, kInputs = 52;  // 16 columns: one to four vectors

double Value(float x) { return x; }
double Value(uint16_t bf16) { return FromBf16(bf16); }
double Value(uint8_t x) { return x; }
double Value(int8_t x) { return x; }

// Blocks with a gap between them, and what MultiplyRow must make of them.
template <typename A, typename B, typename C, typename DrawA, typename DrawB>
void ExpectProducts(UkernelData data, bool pairs, const DrawA& draw_a, const DrawB& draw_b) {
  const int interleave = UkernelInterleave(data);
  constexpr int kBlock = kInputs * kColumns;
  for (int products = 1; products <= 20; ++products) {
    const int groups = products % 2 == 0 ? 2 : 1, count = products / groups;
    SCOPED_TRACE(absl::StrCat(count, " blocks of ", groups, " groups"));
    const int64_t apart = groups * kBlock + 32;
    std::vector<A> a(groups * kInputs);
    for (A& x : a) x = draw_a();
    std::vector<B> b(apart * count);
    for (B& x : b) x = draw_b();
    std::vector<C> c(products * kColumns, C{-1});  // [groups, count, columns]
    const RowBlocks blocks = {.first = reinterpret_cast<const std::byte*>(b.data()),
                              .stride = apart * static_cast<int64_t>(sizeof(B)),
                              .count = count,
                              .columns = kColumns,
                              .groups = groups,
                              .pairs = pairs};
    MultiplyRow(data, a.data(), kInputs, blocks, c.data());
    for (int i = 0; i < products * kColumns; ++i) {
      const int group = i / (count * kColumns), block = i / kColumns % count, n = i % kColumns;
      double sum = 0;
      for (int k = 0; k < kInputs; ++k) {
        const int64_t at =
            block * apart + group * kBlock + (k / interleave * kColumns + n) * interleave + k % interleave;
        sum += Value(a[group * kInputs + k]) * Value(b[at]);
      }
      ASSERT_NEAR(c[i], sum, data == UkernelData::kU8S8 ? 0 : 1e-4) << i;
    }
  }
}

TEST(RowKernelTest, MultipliesFloats) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1);
  const auto draw = [&] { return normal(random); };
  const auto draw_bf16 = [&] { return ToBf16(normal(random)); };
  OnEveryTarget([&] {
    ExpectProducts<float, float, float>(UkernelData::kF32, false, draw, draw);
    ExpectProducts<float, uint16_t, float>(UkernelData::kF32Bf16, false, draw, draw_bf16);
    ExpectProducts<uint16_t, uint16_t, float>(UkernelData::kBf16, false, draw_bf16, draw_bf16);
  });
}

// The largest activations by the largest weights: within 64 no pair exceeds 16 bits, within 127 many do.
TEST(RowKernelTest, MultipliesBytesExactly) {
  std::mt19937 random(2);
  OnEveryTarget([&] {
    for (const bool pairs : {true, false}) {
      const int most = pairs ? 64 : 127;
      std::uniform_int_distribution<int> activation(200, 255), weight(-most, most);
      ExpectProducts<uint8_t, int8_t, int32_t>(
          UkernelData::kU8S8, pairs, [&] { return static_cast<uint8_t>(activation(random)); },
          [&] { return static_cast<int8_t>(weight(random)); });
    }
  });
}

}  // namespace
}  // namespace attnd
