#include "core/ops/quantize.h"

#include <cstddef>
#include <cstring>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/quantize.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "core/ops/quantize-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void Quantize(const float* x, int columns, int stride, uint8_t* q, float& scale, float& offset) {
  QuantizeOne(x, columns, q, scale, offset);
  if (columns < stride) std::memset(q + columns, 0, stride - columns);
}

float LargestOfRow(const float* x, int count) { return LargestOf(x, count); }

void F16Values(const float* x, int count, float by, uint16_t* y) { ScaleAllToF16(x, count, by, y); }

void S8Values(const float* HWY_RESTRICT x, int count, float by, int8_t* HWY_RESTRICT y) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<int8_t, decltype(d)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto factor = hn::Set(d, by);
  const auto levels = [&](auto v) HWY_ATTR { return hn::DemoteTo(d8, hn::NearestInt(hn::Mul(v, factor))); };
  int c = 0;
  for (; c + lanes <= count; c += lanes) hn::StoreU(levels(hn::LoadU(d, x + c)), d8, y + c);
  if (c < count) hn::StoreN(levels(hn::LoadN(d, x + c, count - c)), d8, y + c, count - c);
}

bool Find(const float* HWY_RESTRICT x, int8_t* HWY_RESTRICT q, float& scale) {
  const hn::CappedTag<float, kScaledInputs> d;
  const hn::Rebind<int8_t, decltype(d)> d8;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const float largest = LargestOf(x, kScaledInputs);
  // The largest of a block has this magnitude: in Q8_0, Q4_0 and Q5_0, of those two mostly the first where they were
  // made with an importance matrix.
  for (const int level : {127, 8, 7, 16, 15}) {
    scale = largest / static_cast<float>(level);
    const auto factor = hn::Set(d, scale), inverse = hn::Set(d, largest > 0 ? static_cast<float>(level) / largest : 0);
    bool exact = true;
    for (int c = 0; c < kScaledInputs && exact; c += lanes) {
      const auto value = hn::LoadU(d, x + c);
      const auto nearest = hn::NearestInt(hn::Mul(value, inverse));
      exact = hn::AllTrue(d, hn::Eq(hn::Mul(hn::ConvertTo(d, nearest), factor), value));
      hn::StoreU(hn::DemoteTo(d8, nearest), d8, q + c);
    }
    if (exact) return true;
  }
  return false;
}

void F16Row(const float* x, int columns, int stride, uint16_t* y, float& scale) {
  ScaleOneToF16(x, columns, y, scale);
  if (columns < stride) std::memset(y + columns, 0, (stride - columns) * sizeof(uint16_t));
}

void Bf16Rows(const float* HWY_RESTRICT x, int rows, int columns, int stride, uint16_t* HWY_RESTRICT y) {
  for (int r = 0; r < rows; ++r, x += columns, y += stride) {
    ConvertOneToBf16(x, columns, y);
    if (columns < stride) std::memset(y + columns, 0, (stride - columns) * sizeof(uint16_t));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Quantize);
HWY_EXPORT(LargestOfRow);
HWY_EXPORT(F16Values);
HWY_EXPORT(S8Values);
HWY_EXPORT(Find);
HWY_EXPORT(F16Row);
HWY_EXPORT(Bf16Rows);

void QuantizeRow(const float* x, int columns, int stride, uint8_t* q, float* scale, float* offset) {
  HWY_DYNAMIC_DISPATCH(Quantize)(x, columns, stride, q, *scale, *offset);
}

float LargestMagnitude(const float* x, int count) { return HWY_DYNAMIC_DISPATCH(LargestOfRow)(x, count); }

void ScaleToF16(const float* x, int count, float by, uint16_t* y) { HWY_DYNAMIC_DISPATCH(F16Values)(x, count, by, y); }

void ScaleToS8(const float* x, int count, float by, int8_t* y) { HWY_DYNAMIC_DISPATCH(S8Values)(x, count, by, y); }

bool FindScaledBytes(const float* x, int8_t* q, float* scale) { return HWY_DYNAMIC_DISPATCH(Find)(x, q, *scale); }

void ScaleRowToF16(const float* x, int columns, int stride, uint16_t* y, float* scale) {
  HWY_DYNAMIC_DISPATCH(F16Row)(x, columns, stride, y, *scale);
}

void ConvertRowsToBf16(const float* x, int rows, int columns, int stride, uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(Bf16Rows)(x, rows, columns, stride, y);
}

}  // namespace attnd
#endif  // HWY_ONCE
