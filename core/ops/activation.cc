#include "core/ops/activation.h"

#include <cstddef>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/activation.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// erf(x) as an odd rational function on [-4, 4], beyond which it is 1 in f32. Coefficients: a minimax fit used by Eigen
// (generic_fast_erf).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Erf(D d, V x) {
  x = hn::Clamp(x, hn::Set(d, -4.0f), hn::Set(d, 4.0f));
  const V x2 = hn::Mul(x, x);
  V p = hn::Set(d, -2.72614225801306e-10f);
  p = hn::MulAdd(p, x2, hn::Set(d, 2.77068142495902e-08f));
  p = hn::MulAdd(p, x2, hn::Set(d, -2.10102402082508e-06f));
  p = hn::MulAdd(p, x2, hn::Set(d, -5.69250639462346e-05f));
  p = hn::MulAdd(p, x2, hn::Set(d, -7.34990630326855e-04f));
  p = hn::MulAdd(p, x2, hn::Set(d, -2.95459980854025e-03f));
  p = hn::MulAdd(p, x2, hn::Set(d, -1.60960333262415e-02f));
  V q = hn::Set(d, -1.45660718464996e-05f);
  q = hn::MulAdd(q, x2, hn::Set(d, -2.13374055278905e-04f));
  q = hn::MulAdd(q, x2, hn::Set(d, -1.68282697438203e-03f));
  q = hn::MulAdd(q, x2, hn::Set(d, -7.37332916720468e-03f));
  q = hn::MulAdd(q, x2, hn::Set(d, -1.42647390514189e-02f));
  return hn::Div(hn::Mul(x, p), q);
}

// 1 + exp(x). Highway's Exp is garbage above 104, not infinite; what lies beyond the bounds changes no result.
template <class D, class V>
HWY_INLINE V OnePlusExp(D d, V x) {
  return hn::Add(hn::Set(d, 1.0f), hn::Exp(d, hn::Clamp(x, hn::Set(d, -87.0f), hn::Set(d, 87.0f))));
}

struct None {
  template <class D, class V>
  HWY_INLINE V operator()(D, V x) const {
    return x;
  }
};
struct Gelu {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    const V half = hn::Mul(x, hn::Set(d, 0.5f));
    return hn::MulAdd(half, Erf(d, hn::Mul(x, hn::Set(d, 0.70710678118654752f))), half);
  }
};
struct GeluTanh {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    // 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3)
    const V inner = hn::MulAdd(hn::Mul(hn::Mul(x, x), x), hn::Set(d, 0.044715f), x);
    return hn::Div(x, OnePlusExp(d, hn::Mul(inner, hn::Set(d, -1.5957691216057308f))));
  }
};
struct Relu {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    return hn::Max(x, hn::Zero(d));
  }
};
struct Silu {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    return hn::Div(x, OnePlusExp(d, hn::Neg(x)));
  }
};

struct Tanh {
  template <class D, class V>
  HWY_INLINE V operator()(D d, V x) const {
    return hn::Tanh(d, x);
  }
};

template <class F>
void BiasRows(F f, const float* HWY_RESTRICT bias, int rows, int columns, int64_t stride, float* HWY_RESTRICT x) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int r = 0; r < rows; ++r, x += stride) {
    int c = 0;
    for (; c + lanes <= columns; c += lanes) {
      hn::StoreU(f(d, hn::Add(hn::LoadU(d, x + c), hn::LoadU(d, bias + c))), d, x + c);
    }
    if (c < columns) {
      const size_t n = columns - c;
      hn::StoreN(f(d, hn::Add(hn::LoadN(d, x + c, n), hn::LoadN(d, bias + c, n))), d, x + c, n);
    }
  }
}

void Activate(Activation activation, const float* bias, int rows, int columns, int64_t stride, float* x) {
  switch (activation) {
    case Activation::kNone:
      return BiasRows(None(), bias, rows, columns, stride, x);
    case Activation::kGelu:
      return BiasRows(Gelu(), bias, rows, columns, stride, x);
    case Activation::kGeluTanh:
      return BiasRows(GeluTanh(), bias, rows, columns, stride, x);
    case Activation::kRelu:
      return BiasRows(Relu(), bias, rows, columns, stride, x);
    case Activation::kSilu:
      return BiasRows(Silu(), bias, rows, columns, stride, x);
    case Activation::kTanh:
      return BiasRows(Tanh(), bias, rows, columns, stride, x);
  }
}

void Residual(const float* HWY_RESTRICT bias, const float* HWY_RESTRICT residual, int64_t residual_stride, int rows,
              int columns, int64_t stride, float* HWY_RESTRICT x) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int r = 0; r < rows; ++r, x += stride, residual += residual_stride) {
    int c = 0;
    for (; c + lanes <= columns; c += lanes) {
      const auto sum = hn::Add(hn::LoadU(d, bias + c), hn::LoadU(d, residual + c));
      hn::StoreU(hn::Add(hn::LoadU(d, x + c), sum), d, x + c);
    }
    for (; c < columns; ++c) x[c] += bias[c] + residual[c];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Activate);
HWY_EXPORT(Residual);

void AddBiasAndActivate(Activation activation, const float* bias, int rows, int columns, int64_t stride, float* x) {
  HWY_DYNAMIC_DISPATCH(Activate)(activation, bias, rows, columns, stride, x);
}

void AddBiasAndResidual(const float* bias, const float* residual, int64_t residual_stride, int rows, int columns,
                        int64_t stride, float* x) {
  HWY_DYNAMIC_DISPATCH(Residual)(bias, residual, residual_stride, rows, columns, stride, x);
}

}  // namespace attnd
#endif  // HWY_ONCE
