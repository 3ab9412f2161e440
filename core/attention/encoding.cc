#include "core/attention/encoding.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <functional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/attention/encoding.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

static_assert(std::endian::native == std::endian::little, "the wire formats are little-endian");

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void EncodeF16(const float* values, int count, uint8_t* out) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const hn::Repartition<uint8_t, decltype(d16)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d));
  int i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::BitCast(d8, hn::DemoteTo(d16, hn::LoadU(d, values + i))), d8, out + 2 * i);
  }
  if (i < count) {
    const auto half = hn::DemoteTo(d16, hn::LoadN(d, values + i, count - i));
    hn::StoreN(hn::BitCast(d8, half), d8, out + 2 * i, 2 * (count - i));
  }
}

float EncodeU8(const float* values, int count, uint8_t* out) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d));
  auto max = hn::Zero(d);
  int i = 0;
  for (; i + lanes <= count; i += lanes) max = hn::Max(max, hn::LoadU(d, values + i));
  if (i < count) max = hn::Max(max, hn::LoadN(d, values + i, count - i));
  const float scale = hn::ReduceMax(d, max);
  if (!(scale > 1e-30f)) {
    std::fill_n(out, count, uint8_t{0});
    return 0.0f;
  }
  const auto inverse = hn::Set(d, 1.0f / scale);
  const auto quantise = [&](hn::Vec<decltype(d)> p) HWY_ATTR {
    return hn::DemoteTo(d8, hn::NearestInt(hn::Mul(hn::Sqrt(hn::Mul(p, inverse)), hn::Set(d, 255.0f))));
  };
  for (i = 0; i + lanes <= count; i += lanes) hn::StoreU(quantise(hn::LoadU(d, values + i)), d8, out + i);
  if (i < count) hn::StoreN(quantise(hn::LoadN(d, values + i, count - i)), d8, out + i, count - i);
  return scale;
}

// Keeps the k largest sorted while passing over the row; after the first few vectors most hold nothing above the k-th.
float SelectFew(const float* values, int count, int k, float* kept, uint32_t* indices) {
  const auto insert = [&](int i, int held) {  // among the first `held`, which have room for one more
    const float value = values[i];
    int at = held;
    for (; at > 0 && kept[at - 1] < value; --at) {
      kept[at] = kept[at - 1];
      indices[at] = indices[at - 1];
    }
    kept[at] = value;
    indices[at] = static_cast<uint32_t>(i);
  };
  for (int i = 0; i < k; ++i) insert(i, i);

  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  auto sum = hn::Zero(d);
  float total = 0.0f;
  for (int i = 0; i < k; ++i) total += values[i];
  int i = k;
  for (; i + lanes <= count; i += lanes) {
    const auto v = hn::LoadU(d, values + i);
    sum = hn::Add(sum, v);
    uint64_t above = 0;  // bit l: lane l
    hn::StoreMaskBits(d, hn::Gt(v, hn::Set(d, kept[k - 1])), reinterpret_cast<uint8_t*>(&above));
    for (; above != 0; above &= above - 1) {
      const int lane = i + std::countr_zero(above);
      if (values[lane] > kept[k - 1]) insert(lane, k - 1);
    }
  }
  for (; i < count; ++i) {
    total += values[i];
    if (values[i] > kept[k - 1]) insert(i, k - 1);
  }
  return total + hn::ReduceSum(d, sum);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(EncodeF16);
HWY_EXPORT(EncodeU8);
HWY_EXPORT(SelectFew);

void EncodeF16(const float* values, int count, uint8_t* out) { HWY_DYNAMIC_DISPATCH(EncodeF16)(values, count, out); }

float EncodeU8(const float* values, int count, uint8_t* out) {
  return HWY_DYNAMIC_DISPATCH(EncodeU8)(values, count, out);
}

float TopK::Select(const float* values, int count, int k) {
  constexpr int kFew = 32;
  values_.resize(k);
  indices_.resize(k);
  float total = 0.0f;
  if (k <= kFew) {
    total = HWY_DYNAMIC_DISPATCH(SelectFew)(values, count, k, values_.data(), indices_.data());
  } else {
    // Probabilities are not negative, so their bits order as they do; a NaN, whatever its bits, cannot break the order.
    keys_.resize(count);
    for (int i = 0; i < count; ++i) {
      keys_[i] = uint64_t{std::bit_cast<uint32_t>(values[i])} << 32 | ~static_cast<uint32_t>(i);
      total += values[i];
    }
    std::nth_element(keys_.begin(), keys_.begin() + (k - 1), keys_.end(), std::greater<>());
    std::sort(keys_.begin(), keys_.begin() + k, std::greater<>());
    for (int i = 0; i < k; ++i) {
      indices_[i] = ~static_cast<uint32_t>(keys_[i]);
      values_[i] = values[indices_[i]];
    }
  }
  float kept = 0.0f;
  for (const float value : values_) kept += value;
  return std::max(0.0f, total - kept);
}

}  // namespace attnd
#endif  // HWY_ONCE
