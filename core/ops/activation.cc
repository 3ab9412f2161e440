#include "core/ops/activation.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/activation.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "hwy/contrib/math/math-inl.h"
#include "core/ops/exp-inl.h"
#include "core/ops/load-inl.h"
#include "core/ops/quantize-inl.h"
#include "core/ops/slices-inl.h"
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
  // The divider takes longer than all of the above. One step of Newton's from 12 bits or more.
  V inverse = hn::ApproximateReciprocal(q);
  inverse = hn::Mul(inverse, hn::NegMulAdd(q, inverse, hn::Set(d, 2.0f)));
  return hn::Mul(hn::Mul(x, p), inverse);
}

// 1 + exp(x). What lies beyond the bounds changes no result.
template <class D, class V>
HWY_INLINE V OnePlusExp(D d, V x) {
  return hn::Add(hn::Set(d, 1.0f), FastExp(d, hn::Clamp(x, hn::Set(d, -87.0f), hn::Set(d, 87.0f))));
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

// y = fn(d, r, c, n), which gives n values of row r from column c on.
template <class Fn>
HWY_INLINE void ForTile(const Fn& fn, int rows, int columns, int64_t stride, float* y) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int r = 0; r < rows; ++r, y += stride) {
    int c = 0;
    for (; c + lanes <= columns; c += lanes) hn::StoreU(fn(d, r, c, lanes), d, y + c);
    if (c < columns) {
      const size_t n = columns - c;
      hn::StoreN(fn(d, r, c, n), d, y + c, n);
    }
  }
}

// fn(f) for the function of `activation`.
template <class Fn>
HWY_INLINE void WithActivation(Activation activation, const Fn& fn) {
  switch (activation) {
    case Activation::kNone:
      return fn(None());
    case Activation::kGelu:
      return fn(Gelu());
    case Activation::kGeluTanh:
      return fn(GeluTanh());
    case Activation::kRelu:
      return fn(Relu());
    case Activation::kSilu:
      return fn(Silu());
    case Activation::kTanh:
      return fn(Tanh());
  }
}

void Activate(Activation activation, const float* HWY_RESTRICT bias, int rows, int columns, const float* x,
              int64_t x_stride, float* y, int64_t y_stride) {
  WithActivation(activation, [&](auto f) HWY_ATTR {
    const auto fn = [&](auto d, int r, int c, size_t n)
                        HWY_ATTR { return f(d, hn::Add(Some(d, x + r * x_stride + c, n), Some(d, bias + c, n))); };
    ForTile(fn, rows, columns, y_stride, y);
  });
}

void Residual(const float* HWY_RESTRICT bias, const float* HWY_RESTRICT residual, int rows, int columns, const float* x,
              int64_t x_stride, float* y, int64_t y_stride) {
  const auto fn = [&](auto d, int r, int c, size_t n) HWY_ATTR {
    const auto sum = hn::Add(Some(d, bias + c, n), Some(d, residual + r * y_stride + c, n));
    return hn::Add(Some(d, x + r * x_stride + c, n), sum);
  };
  ForTile(fn, rows, columns, y_stride, y);
}

void Gate(Activation activation, int rows, int columns, const float* x, int64_t x_stride, float* y, int64_t y_stride) {
  WithActivation(activation, [&](auto f) HWY_ATTR {
    const auto fn = [&](auto d, int r, int c, size_t n) HWY_ATTR {
      const float* gate = x + r * x_stride + c;
      return hn::Mul(f(d, Some(d, gate, n)), Some(d, gate + columns, n));
    };
    ForTile(fn, rows, columns, y_stride, y);
  });
}

void Quantize(const QuantizedTile& to, int r, int columns, const float* x) {
  uint8_t* row = to.rows + r * to.stride;
  switch (to.format) {
    case RowFormat::kU8:
      return QuantizeOne(x, columns, row, to.scales[r], to.offsets[r]);
    case RowFormat::kF16:
      return ScaleOneToF16(x, columns, reinterpret_cast<uint16_t*>(row), to.scales[r]);
    case RowFormat::kBf16:
      return ConvertOneToBf16(x, columns, reinterpret_cast<uint16_t*>(row));
    case RowFormat::kSlices:
      row = to.rows + OffsetOfSlices(r, to.height, to.stride);
      return SliceOne(x, columns, to.height, reinterpret_cast<int8_t*>(row), to.scales[r]);
  }
}

void ActivateAndQuantize(Activation activation, const float* HWY_RESTRICT bias, int rows, int columns, float* x,
                         int64_t x_stride, const QuantizedTile& to) {
  // Row by row: what was written is read again from the nearest cache.
  for (int r = 0; r < rows; ++r, x += x_stride) {
    Activate(activation, bias, 1, columns, x, x_stride, x, x_stride);
    Quantize(to, r, columns, x);
  }
}

void GateAndQuantize(Activation activation, int rows, int columns, float* x, int64_t x_stride,
                     const QuantizedTile& to) {
  for (int r = 0; r < rows; ++r, x += x_stride) {
    Gate(activation, 1, columns, x, x_stride, x, x_stride);
    Quantize(to, r, columns, x);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Activate);
HWY_EXPORT(Residual);
HWY_EXPORT(Gate);
HWY_EXPORT(ActivateAndQuantize);
HWY_EXPORT(GateAndQuantize);

void AddBiasAndActivate(Activation activation, const float* bias, int rows, int columns, const float* x,
                        int64_t x_stride, float* y, int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(Activate)(activation, bias, rows, columns, x, x_stride, y, y_stride);
}

void AddBiasAndResidual(const float* bias, const float* residual, int rows, int columns, const float* x,
                        int64_t x_stride, float* y, int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(Residual)(bias, residual, rows, columns, x, x_stride, y, y_stride);
}

void GateRows(Activation activation, int rows, int columns, const float* x, int64_t x_stride, float* y,
              int64_t y_stride) {
  HWY_DYNAMIC_DISPATCH(Gate)(activation, rows, columns, x, x_stride, y, y_stride);
}

void ActivateToQuantized(Activation activation, const float* bias, int rows, int columns, float* x, int64_t x_stride,
                         const QuantizedTile& to) {
  HWY_DYNAMIC_DISPATCH(ActivateAndQuantize)(activation, bias, rows, columns, x, x_stride, to);
}

void GateToQuantized(Activation activation, int rows, int columns, float* x, int64_t x_stride,
                     const QuantizedTile& to) {
  HWY_DYNAMIC_DISPATCH(GateAndQuantize)(activation, rows, columns, x, x_stride, to);
}

}  // namespace attnd
#endif  // HWY_ONCE
