// SliceOne: a row as slices, for the other Highway files of this folder.
#if defined(ATTND_CORE_OPS_SLICES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTND_CORE_OPS_SLICES_INL_H_
#undef ATTND_CORE_OPS_SLICES_INL_H_
#else
#define ATTND_CORE_OPS_SLICES_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/ops/quantize-inl.h"
#include "core/ops/slices.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {

// As SliceRow, but for what lies beyond the last step that has columns.
HWY_INLINE void SliceOne(const float* HWY_RESTRICT x, int columns, int height, int8_t* HWY_RESTRICT to, float& scale) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::CappedTag<float, 16> d;
  const hn::RebindToSigned<decltype(d)> di;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  // Of the last byte's places, with room for what rounds up: 127 * (2^16 + 2^8 + 1) is what three bytes hold.
  constexpr float kLevels = 8355000.0f, kLast = 65536.0f;
  // Below it the inverse would overflow, and what is lost is nothing beside any sum.
  constexpr float kLeast = 1e-30f;
  float largest = LargestOf(x, columns);
  if (!std::isfinite(largest)) largest = std::numeric_limits<float>::quiet_NaN();
  largest = largest < kLeast ? kLeast : largest;
  const float by = kLevels / largest;
  scale = kLast / by;
  const auto inverse = hn::Set(d, by);
  const auto half = hn::Set(di, 128);
  const int lanes = static_cast<int>(hn::Lanes(d));
  const int64_t slice = int64_t{height} * kTileBytes;
  for (int c = 0; c < columns; c += lanes) {
    const auto value = c + lanes <= columns ? hn::LoadU(d, x + c) : hn::LoadN(d, x + c, columns - c);
    // A byte's remainder is what is nearest: from -128 to 127.
    const auto last = hn::NearestInt(hn::Mul(value, inverse));
    const auto middle = hn::ShiftRight<8>(hn::Add(last, half));
    const auto first = hn::ShiftRight<8>(hn::Add(middle, half));
    auto* bytes = reinterpret_cast<uint8_t*>(to + c / kTileBytes * kSlices * slice + c % kTileBytes);
    const auto store = [&](auto v, int64_t at) HWY_ATTR {
      hn::StoreU(hn::TruncateTo(d8, hn::BitCast(hn::RebindToUnsigned<decltype(di)>(), v)), d8, bytes + at);
    };
    store(first, 0);
    store(middle, slice);
    store(last, 2 * slice);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
