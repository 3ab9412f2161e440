// Fold: the vectors of a row made one, for the other Highway files of this folder.
#if defined(ATTND_CORE_OPS_FOLD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTND_CORE_OPS_FOLD_INL_H_
#undef ATTND_CORE_OPS_FOLD_INL_H_
#else
#define ATTND_CORE_OPS_FOLD_INL_H_
#endif

#include <limits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {

// total = step(total, c) for the columns c = 0, lanes, ... of whole vectors, in four totals that are joined at the end:
// in one, each step would wait for the one before. All begin as `start`, which must not change a total: 0 of a sum.
template <class D, class Step, class Join, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V Fold(D d, int columns, V start, const Step& step, const Join& join) {
  const int lanes = static_cast<int>(hwy::HWY_NAMESPACE::Lanes(d));
  V a = start, b = start, e = start, f = start;
  int c = 0;
  for (; c + 4 * lanes <= columns; c += 4 * lanes) {
    a = step(a, c);
    b = step(b, c + lanes);
    e = step(e, c + 2 * lanes);
    f = step(f, c + 3 * lanes);
  }
  for (; c + lanes <= columns; c += lanes) a = step(a, c);
  return join(join(a, b), join(e, f));
}

struct Sum {
  template <class V>
  HWY_INLINE V operator()(V a, V b) const {
    return hwy::HWY_NAMESPACE::Add(a, b);
  }
};
struct Least {
  template <class V>
  HWY_INLINE V operator()(V a, V b) const {
    return hwy::HWY_NAMESPACE::Min(a, b);
  }
};
struct Largest {
  template <class V>
  HWY_INLINE V operator()(V a, V b) const {
    return hwy::HWY_NAMESPACE::Max(a, b);
  }
};

// -infinity of none.
HWY_INLINE float MaximumOf(const float* HWY_RESTRICT x, int count) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const int rest = count % static_cast<int>(hn::Lanes(d));
  const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto larger = [&](auto v, int c) HWY_ATTR { return hn::Max(v, hn::LoadU(d, x + c)); };
  auto maxima = Fold(d, count, none, larger, Largest());
  if (rest > 0) maxima = hn::Max(maxima, hn::LoadNOr(none, d, x + count - rest, rest));
  return hn::ReduceMax(d, maxima);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
