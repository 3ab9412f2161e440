#include "core/ops/layer_norm.h"

#include <cmath>
#include <cstddef>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/layer_norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "core/ops/fold-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void NormRows(const float* x, const float* HWY_RESTRICT weight, const float* HWY_RESTRICT bias, float epsilon, int rows,
              int columns, float* y) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d)), whole = columns / lanes * lanes;
  for (int r = 0; r < rows; ++r, x += columns, y += columns) {
    const auto add = [&](auto sum, int c) HWY_ATTR { return hn::Add(sum, hn::LoadU(d, x + c)); };
    float total = hn::ReduceSum(d, Fold(d, columns, hn::Zero(d), add, Sum()));
    for (int c = whole; c < columns; ++c) total += x[c];
    const float mean = total / static_cast<float>(columns);

    // Two passes: the one-pass formula cancels where the mean is large beside the spread.
    const auto means = hn::Set(d, mean);
    const auto add_square = [&](auto sum, int c) HWY_ATTR {
      const auto delta = hn::Sub(hn::LoadU(d, x + c), means);
      return hn::MulAdd(delta, delta, sum);
    };
    float variance = hn::ReduceSum(d, Fold(d, columns, hn::Zero(d), add_square, Sum()));
    for (int c = whole; c < columns; ++c) variance += (x[c] - mean) * (x[c] - mean);
    const float inverse = 1.0f / std::sqrt(variance / static_cast<float>(columns) + epsilon);

    const auto inverses = hn::Set(d, inverse);
    int c = 0;
    for (; c < whole; c += lanes) {
      const auto normal = hn::Mul(hn::Sub(hn::LoadU(d, x + c), means), inverses);
      hn::StoreU(hn::MulAdd(normal, hn::LoadU(d, weight + c), hn::LoadU(d, bias + c)), d, y + c);
    }
    for (; c < columns; ++c) y[c] = (x[c] - mean) * inverse * weight[c] + bias[c];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(NormRows);

void LayerNorm(const float* x, const float* weight, const float* bias, float epsilon, int rows, int columns, float* y) {
  HWY_DYNAMIC_DISPATCH(NormRows)(x, weight, bias, epsilon, rows, columns, y);
}

}  // namespace attnd
#endif  // HWY_ONCE
