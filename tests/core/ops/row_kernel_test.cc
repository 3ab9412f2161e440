// MultiplyRow against its definition, on every path this CPU has.
#include "core/ops/row_kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/ops/quantize.h"
#include "tests/core/ops/on_every_target.h"

namespace attnd {
namespace {

constexpr int kColumns = 16, kInputs = 52;  // 16 columns: one to four vectors

// Blocks with a gap between them, and what MultiplyRow must make of them.
template <typename A, typename B, typename C, typename DrawA, typename DrawB, typename Value>
void ExpectProducts(UkernelData data, int interleave, bool pairs, const DrawA& draw_a, const DrawB& draw_b,
                    const Value& value) {
  for (int count = 1; count <= 9; ++count) {
    SCOPED_TRACE(count);
    const int64_t apart = kInputs * kColumns + 32;
    std::vector<A> a(kInputs);
    for (A& x : a) x = draw_a();
    std::vector<B> b(apart * count);
    for (B& x : b) x = draw_b();
    std::vector<C> c(count * kColumns, C{-1});
    const RowBlocks blocks = {reinterpret_cast<const std::byte*>(b.data()), apart * static_cast<int64_t>(sizeof(B)),
                              count, kColumns, pairs};
    MultiplyRow(data, a.data(), kInputs, blocks, c.data());
    for (int n = 0; n < count * kColumns; ++n) {
      double sum = 0;
      for (int k = 0; k < kInputs; ++k) {
        const int64_t at =
            n / kColumns * apart + (k / interleave * kColumns + n % kColumns) * interleave + k % interleave;
        sum += static_cast<double>(a[k]) * value(b[at]);
      }
      ASSERT_NEAR(c[n], sum, data == UkernelData::kU8S8 ? 0 : 1e-4) << n;
    }
  }
}

TEST(RowKernelTest, MultipliesFloats) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 1);
  const auto draw = [&] { return normal(random); };
  OnEveryTarget([&] {
    ExpectProducts<float, float, float>(UkernelData::kF32, 1, false, draw, draw, [](float x) { return x; });
    ExpectProducts<float, uint16_t, float>(
        UkernelData::kF32Bf16, 1, false, draw, [&] { return ToBf16(draw()); }, [](uint16_t x) { return FromBf16(x); });
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
          UkernelData::kU8S8, 4, pairs, [&] { return static_cast<uint8_t>(activation(random)); },
          [&] { return static_cast<int8_t>(weight(random)); }, [](int8_t x) { return x; });
    }
  });
}

}  // namespace
}  // namespace attnd
