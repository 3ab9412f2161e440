#include "core/attention/rollout.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/attention/rollout.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// kRows rows of c = x a, for `valid` columns from `column` on. x and c are [rows, n], a is [n, n].
template <int kRows, class D>
HWY_INLINE void Block(D d, const float* x, const float* a, int n, int column, int valid, float* c) {
  using V = hn::Vec<D>;
  V sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  const bool whole = valid == static_cast<int>(hn::Lanes(d));
  for (int k = 0; k < n; ++k) {
    const float* const at = a + static_cast<ptrdiff_t>(k) * n + column;
    const V v = whole ? hn::LoadU(d, at) : hn::LoadN(d, at, valid);
    sum0 = hn::MulAdd(hn::Set(d, x[k]), v, sum0);
    if constexpr (kRows > 1) {
      sum1 = hn::MulAdd(hn::Set(d, x[n + k]), v, sum1);
      sum2 = hn::MulAdd(hn::Set(d, x[2 * static_cast<ptrdiff_t>(n) + k]), v, sum2);
      sum3 = hn::MulAdd(hn::Set(d, x[3 * static_cast<ptrdiff_t>(n) + k]), v, sum3);
    }
  }
  const auto store = [&](V sum, int row) HWY_ATTR {
    float* const out = c + static_cast<ptrdiff_t>(row) * n + column;
    whole ? hn::StoreU(sum, d, out) : hn::StoreN(sum, d, out, valid);
  };
  store(sum0, 0);
  if constexpr (kRows > 1) {
    store(sum1, 1);
    store(sum2, 2);
    store(sum3, 3);
  }
}

void Multiply(const float* x, const float* a, int rows, int n, float* c) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int column = 0; column < n; column += lanes) {  // a column block of `a` stays in cache for all rows
    const int valid = std::min(lanes, n - column);
    int row = 0;
    for (; row + 4 <= rows; row += 4) {
      const ptrdiff_t at = static_cast<ptrdiff_t>(row) * n;
      Block<4>(d, x + at, a, n, column, valid, c + at);
    }
    for (; row < rows; ++row) {
      const ptrdiff_t at = static_cast<ptrdiff_t>(row) * n;
      Block<1>(d, x + at, a, n, column, valid, c + at);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Multiply);

void AddResidual(float* row, int tokens, int token) {
  row[token] += 1.0f;
  const float scale = 1.0f / std::accumulate(row, row + tokens, 0.0f);
  for (int i = 0; i < tokens; ++i) row[i] *= scale;
}

AlignedBuffer<float> RolloutRows(const float* a, int layers, int tokens, const std::vector<int>& rows) {
  const int count = static_cast<int>(rows.size());
  const ptrdiff_t matrix = static_cast<ptrdiff_t>(tokens) * tokens;
  AlignedBuffer<float> product(static_cast<size_t>(count) * tokens);
  AlignedBuffer<float> next(product.size());
  const float* const top = a + (layers - 1) * matrix;
  for (int i = 0; i < count; ++i) {
    std::copy_n(top + static_cast<ptrdiff_t>(rows[i]) * tokens, tokens,
                product.data() + static_cast<ptrdiff_t>(i) * tokens);
  }
  for (int layer = layers - 2; layer >= 0; --layer) {
    HWY_DYNAMIC_DISPATCH(Multiply)(product.data(), a + layer * matrix, count, tokens, next.data());
    std::swap(product, next);
  }
  return product;
}

}  // namespace attnd
#endif  // HWY_ONCE
