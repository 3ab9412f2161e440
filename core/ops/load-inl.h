// Some: the vectors of a row and what is left of it, for the other Highway files of this folder.
#if defined(ATTND_CORE_OPS_LOAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTND_CORE_OPS_LOAD_INL_H_
#undef ATTND_CORE_OPS_LOAD_INL_H_
#else
#define ATTND_CORE_OPS_LOAD_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {

// n values at x: all lanes, or fewer.
template <class D>
HWY_INLINE hwy::HWY_NAMESPACE::Vec<D> Some(D d, const hwy::HWY_NAMESPACE::TFromD<D>* x, size_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  return n == hn::Lanes(d) ? hn::LoadU(d, x) : hn::LoadN(d, x, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
