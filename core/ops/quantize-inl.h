// QuantizeOne, ScaleOneToF16 and ConvertOneToBf16: a row as u8, f16 and bf16, for the other Highway files of this
// folder.
#if defined(ATTND_CORE_OPS_QUANTIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTND_CORE_OPS_QUANTIZE_INL_H_
#undef ATTND_CORE_OPS_QUANTIZE_INL_H_
#else
#define ATTND_CORE_OPS_QUANTIZE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "core/ops/fold-inl.h"
#include "core/ops/quantize.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {

template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE auto LevelsOf(D /*d*/, V v, V least, V inverse) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::DemoteTo(hn::Rebind<uint8_t, D>(), hn::NearestInt(hn::Mul(hn::Sub(v, least), inverse)));
}

// x[c] ~ offset + scale * q[c], c in [0, columns): offset is the least of x, scale 1/255 of its range.
HWY_INLINE void QuantizeOne(const float* HWY_RESTRICT x, int columns, uint8_t* HWY_RESTRICT q, float& scale,
                            float& offset) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const hn::Rebind<uint8_t, decltype(d)> du8;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto first = hn::Set(d, x[0]);
  auto low = Fold(d, columns, first, [&](auto v, int c) HWY_ATTR { return hn::Min(v, hn::LoadU(d, x + c)); }, Least());
  auto high =
      Fold(d, columns, first, [&](auto v, int c) HWY_ATTR { return hn::Max(v, hn::LoadU(d, x + c)); }, Largest());
  int c = columns / lanes * lanes;
  if (c < columns) {
    const auto v = hn::LoadNOr(first, d, x + c, columns - c);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
  }
  offset = hn::ReduceMin(d, low);
  const float range = hn::ReduceMax(d, high) - offset;
  scale = range * (1.0f / 255);
  const auto least = hn::Set(d, offset);
  const auto inverse = hn::Set(d, range > 0 ? 255 / range : 0.0f);
  for (c = 0; c + lanes <= columns; c += lanes) {
    hn::StoreU(LevelsOf(d, hn::LoadU(d, x + c), least, inverse), du8, q + c);
  }
  if (c < columns) hn::StoreN(LevelsOf(d, hn::LoadN(d, x + c, columns - c), least, inverse), du8, q + c, columns - c);
}

// The largest |x|, infinity or NaN where there is one: as integers, which order magnitudes and put those last.
HWY_INLINE float LargestOf(const float* HWY_RESTRICT x, int columns) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const int lanes = static_cast<int>(hn::Lanes(d)), whole = columns / lanes * lanes;
  const auto magnitude = [&](auto v) HWY_ATTR { return hn::BitCast(di, hn::Abs(v)); };
  auto largest = Fold(
      di, columns, hn::Zero(di), [&](auto v, int c) HWY_ATTR { return hn::Max(v, magnitude(hn::LoadU(d, x + c))); },
      Largest());
  if (whole < columns) largest = hn::Max(largest, magnitude(hn::LoadN(d, x + whole, columns - whole)));
  return hwy::BitCastScalar<float>(hn::ReduceMax(di, largest));
}

// y = x * by.
HWY_INLINE void ScaleAllToF16(const float* HWY_RESTRICT x, int columns, float by, uint16_t* HWY_RESTRICT y) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto factor = hn::Set(d, by);
  const auto halves = [&](auto v) HWY_ATTR { return hn::DemoteTo(d16, hn::Mul(v, factor)); };
  auto* to = reinterpret_cast<hwy::float16_t*>(y);
  int c = 0;
  for (; c + lanes <= columns; c += lanes) hn::StoreU(halves(hn::LoadU(d, x + c)), d16, to + c);
  if (c < columns) hn::StoreN(halves(hn::LoadN(d, x + c, columns - c)), d16, to + c, columns - c);
}

// x[c] ~ scale * y[c], c in [0, columns), by F16ScaleOf.
HWY_INLINE void ScaleOneToF16(const float* HWY_RESTRICT x, int columns, uint16_t* HWY_RESTRICT y, float& scale) {
  const F16Scale by = F16ScaleOf(LargestOf(x, columns), kF16RowBits);
  scale = by.scale;
  ScaleAllToF16(x, columns, by.inverse, y);
}

// The upper half, after adding half of its last place, less where that is even; NaN keeps a payload bit. Not
// Highway's DemoteTo: its instruction on Zen 4 makes denormals 0, which other CPUs keep.
template <class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE auto Bf16Of(D /*d*/, V v) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::RebindToUnsigned<D> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd);
  const auto nan = hn::Or(bits, hn::Set(du, 0x400000));
  const auto value = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), nan, rounded);
  return hn::TruncateTo(hn::Rebind<uint16_t, D>(), hn::ShiftRight<16>(value));
}

// y = x.
HWY_INLINE void ConvertOneToBf16(const float* HWY_RESTRICT x, int columns, uint16_t* HWY_RESTRICT y) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const hn::Rebind<uint16_t, decltype(d)> du16;
  const int lanes = static_cast<int>(hn::Lanes(d));
  int c = 0;
  for (; c + lanes <= columns; c += lanes) hn::StoreU(Bf16Of(d, hn::LoadU(d, x + c)), du16, y + c);
  if (c < columns) hn::StoreN(Bf16Of(d, hn::LoadN(d, x + c, columns - c)), du16, y + c, columns - c);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
