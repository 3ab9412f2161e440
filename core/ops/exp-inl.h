// FastExp: e^x for the other Highway files of this folder, without what Highway's own does for denormals.
#if defined(ATTND_CORE_OPS_EXP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTND_CORE_OPS_EXP_INL_H_
#undef ATTND_CORE_OPS_EXP_INL_H_
#else
#define ATTND_CORE_OPS_EXP_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {

// Within 1.2e-7 of e^x, relatively, for x in [-87, 88], tried in steps of 1e-5; 0 below, -infinity included. x is at
// most 88. NaN gives 0.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V FastExp(D d, V x) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToSigned<D> di;
  const V least = hn::Set(d, -87.0f);
  // x = n ln 2 + r: e^x = 2^n e^r. Adding 1.5 * 2^23 rounds to an integer and leaves it in the lowest bits.
  const V magic = hn::Set(d, 12582912.0f);
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504088896341f), magic);
  const V n = hn::Sub(shifted, magic);
  // ln 2 in two parts: n times the first is exact.
  const V r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x));
  // Cephes' polynomial for e^r, |r| <= ln(2) / 2.
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::MulAdd(hn::Mul(r, r), p, hn::Add(r, hn::Set(d, 1.0f)));
  const auto exponent = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  return hn::IfThenElseZero(hn::Ge(x, least), hn::BitCast(d, hn::Add(hn::BitCast(di, p), exponent)));
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
