#include "core/ops/softmax.h"

#include <algorithm>
#include <cstddef>
#include <limits>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/softmax.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "core/ops/exp-inl.h"
#include "core/ops/fold-inl.h"
#include "hwy/contrib/math/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// With kEntropy row_sums[r] is the sum of e^v and weighted_sums[r] that of e^v v, v being the scores less the largest.
template <bool kEntropy>
void Rows(float scale, int rows, int columns, int padded_columns, int stride, float* HWY_RESTRICT x,
          float* HWY_RESTRICT inverse_sums, float* HWY_RESTRICT row_sums, float* HWY_RESTRICT weighted_sums) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const auto scales = hn::Set(d, scale);
  for (int r = 0; r < rows; ++r, x += stride) {
    const float maximum = scale * MaximumOf(x, columns);
    if (maximum == kNone) {
      std::fill(x, x + padded_columns, 0.0f);
      if (inverse_sums != nullptr) inverse_sums[r] = 0;
      if constexpr (kEntropy) {
        row_sums[r] = 1;
        weighted_sums[r] = 0;
      }
      continue;
    }
    const auto shift = hn::Set(d, maximum);
    auto sums = hn::Zero(d), weighted = sums;
    // e^v of scores below the largest by v, which meets 0 times infinity where a score is hidden.
    const auto add = [&](auto e, auto v) HWY_ATTR {
      sums = hn::Add(sums, e);
      if constexpr (kEntropy) weighted = hn::MulAdd(e, hn::Max(v, hn::Set(d, -100.0f)), weighted);
    };
    int c = 0;
    for (; c + lanes <= columns; c += lanes) {
      const auto v = hn::MulSub(hn::LoadU(d, x + c), scales, shift);
      const auto e = FastExp(d, v);
      hn::StoreU(e, d, x + c);
      add(e, v);
    }
    if (c < columns) {
      const size_t n = columns - c;
      const auto v = hn::MulSub(hn::LoadN(d, x + c, n), scales, shift);
      const auto e = hn::IfThenElseZero(hn::FirstN(d, n), FastExp(d, v));
      hn::StoreN(e, d, x + c, n);
      add(e, v);
    }
    const float sum = hn::ReduceSum(d, sums);
    if constexpr (kEntropy) {
      row_sums[r] = sum;
      weighted_sums[r] = hn::ReduceSum(d, weighted);
    }
    if (inverse_sums != nullptr) {
      inverse_sums[r] = 1.0f / sum;
    } else {
      const auto inverse = hn::Set(d, 1.0f / sum);
      for (c = 0; c + lanes <= columns; c += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + c), inverse), d, x + c);
      for (; c < columns; ++c) x[c] /= sum;
    }
    std::fill(x + columns, x + padded_columns, 0.0f);
  }
}

void SomeRows(float scale, int rows, int columns, int padded_columns, int stride, float* x, float* inverse_sums,
              float* entropy) {
  if (entropy == nullptr) {
    return Rows<false>(scale, rows, columns, padded_columns, stride, x, inverse_sums, nullptr, nullptr);
  }
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  constexpr int kRows = 64;  // at once, so that their logarithms are vectors
  HWY_ALIGN float sums[kRows], weighted[kRows];
  for (int begin = 0; begin < rows; begin += kRows) {
    const int count = std::min(kRows, rows - begin);
    Rows<true>(scale, count, columns, padded_columns, stride, x + int64_t{begin} * stride,
               inverse_sums == nullptr ? nullptr : inverse_sums + begin, sums, weighted);
    for (int r = 0; r < count; r += lanes) {
      // -sum p log p, p = e^v / sum.
      const size_t n = std::min(lanes, count - r);
      const auto sum = hn::LoadNOr(hn::Set(d, 1.0f), d, sums + r, n);
      const auto mean = hn::Div(hn::LoadN(d, weighted + r, n), sum);
      const auto nats = hn::Sub(hn::Log(d, sum), mean);
      hn::StoreN(hn::IfThenElseZero(hn::Gt(nats, hn::Zero(d)), nats), d, entropy + begin + r, n);  // 0 of NaN, too
    }
  }
}

void Scale(const float* from, int64_t from_stride, const float* factors, int rows, int columns, float* to,
           int64_t stride) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int r = 0; r < rows; ++r, from += from_stride, to += stride) {
    const auto factor = hn::Set(d, factors == nullptr ? 1.0f : factors[r]);
    int c = 0;
    for (; c + lanes <= columns; c += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, from + c), factor), d, to + c);
    if (c < columns) hn::StoreN(hn::Mul(hn::LoadN(d, from + c, columns - c), factor), d, to + c, columns - c);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(SomeRows);
HWY_EXPORT(Scale);

void SoftmaxRows(float scale, int rows, int columns, int padded_columns, int stride, float* x, float* inverse_sums,
                 float* entropy) {
  HWY_DYNAMIC_DISPATCH(SomeRows)(scale, rows, columns, padded_columns, stride, x, inverse_sums, entropy);
}

void ScaleRows(const float* from, int64_t from_stride, const float* factors, int rows, int columns, float* to,
               int64_t stride) {
  HWY_DYNAMIC_DISPATCH(Scale)(from, from_stride, factors, rows, columns, to, stride);
}

}  // namespace attnd
#endif  // HWY_ONCE
