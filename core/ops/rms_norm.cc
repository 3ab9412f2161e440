#include "core/ops/rms_norm.h"

#include <cmath>
#include <cstddef>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/rms_norm.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "core/ops/fold-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RmsNormRows(const float* x, const float* HWY_RESTRICT weight, float epsilon, int rows, int columns, float* y) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d)), whole = columns / lanes * lanes;
  for (int r = 0; r < rows; ++r, x += columns, y += columns) {
    const auto add_square = [&](auto sum, int c) HWY_ATTR {
      const auto v = hn::LoadU(d, x + c);
      return hn::MulAdd(v, v, sum);
    };
    float sum = hn::ReduceSum(d, Fold(d, columns, hn::Zero(d), add_square, Sum()));
    for (int c = whole; c < columns; ++c) sum += x[c] * x[c];
    const float inverse = 1.0f / std::sqrt(sum / static_cast<float>(columns) + epsilon);
    const auto inverses = hn::Set(d, inverse);
    int c = 0;
    for (; c < whole; c += lanes) {
      hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + c), inverses), hn::LoadU(d, weight + c)), d, y + c);
    }
    for (; c < columns; ++c) y[c] = x[c] * inverse * weight[c];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(RmsNormRows);

void RmsNorm(const float* x, const float* weight, float epsilon, int rows, int columns, float* y) {
  HWY_DYNAMIC_DISPATCH(RmsNormRows)(x, weight, epsilon, rows, columns, y);
}

}  // namespace attnd
#endif  // HWY_ONCE
