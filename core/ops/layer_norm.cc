#include "core/ops/layer_norm.h"

#include <cmath>
#include <cstddef>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/layer_norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void NormRows(const float* x, const float* HWY_RESTRICT weight, const float* HWY_RESTRICT bias, float epsilon, int rows,
              int columns, float* y) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int r = 0; r < rows; ++r, x += columns, y += columns) {
    auto sum = hn::Zero(d);
    int c = 0;
    for (; c + lanes <= columns; c += lanes) sum = hn::Add(sum, hn::LoadU(d, x + c));
    float total = hn::ReduceSum(d, sum);
    for (; c < columns; ++c) total += x[c];
    const float mean = total / static_cast<float>(columns);

    // Two passes: the one-pass formula cancels where the mean is large beside the spread.
    const auto means = hn::Set(d, mean);
    auto squares = hn::Zero(d);
    for (c = 0; c + lanes <= columns; c += lanes) {
      const auto delta = hn::Sub(hn::LoadU(d, x + c), means);
      squares = hn::MulAdd(delta, delta, squares);
    }
    float variance = hn::ReduceSum(d, squares);
    for (; c < columns; ++c) variance += (x[c] - mean) * (x[c] - mean);
    const float inverse = 1.0f / std::sqrt(variance / static_cast<float>(columns) + epsilon);

    const auto inverses = hn::Set(d, inverse);
    for (c = 0; c + lanes <= columns; c += lanes) {
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
