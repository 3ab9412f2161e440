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

void Bf16Rows(const float* HWY_RESTRICT x, int rows, int columns, int stride, uint16_t* HWY_RESTRICT y) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> du16;
  const int lanes = static_cast<int>(hn::Lanes(d));
  // The upper half, after adding half of its last place, less where that is even; NaN keeps a payload bit. Not
  // Highway's DemoteTo: its instruction on Zen 4 makes denormals 0, which other CPUs keep.
  const auto convert = [&](auto v) {
    const auto bits = hn::BitCast(du, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd);
    const auto nan = hn::Or(bits, hn::Set(du, 0x400000));
    return hn::TruncateTo(du16, hn::ShiftRight<16>(hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), nan, rounded)));
  };
  for (int r = 0; r < rows; ++r, x += columns, y += stride) {
    int c = 0;
    for (; c + lanes <= columns; c += lanes) hn::StoreU(convert(hn::LoadU(d, x + c)), du16, y + c);
    if (c < columns) hn::StoreN(convert(hn::LoadN(d, x + c, columns - c)), du16, y + c, columns - c);
    if (columns < stride) std::memset(y + columns, 0, (stride - columns) * sizeof(uint16_t));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Quantize);
HWY_EXPORT(Bf16Rows);

void QuantizeRow(const float* x, int columns, int stride, uint8_t* q, float* scale, float* offset) {
  HWY_DYNAMIC_DISPATCH(Quantize)(x, columns, stride, q, *scale, *offset);
}

void ConvertRowsToBf16(const float* x, int rows, int columns, int stride, uint16_t* y) {
  HWY_DYNAMIC_DISPATCH(Bf16Rows)(x, rows, columns, stride, y);
}

}  // namespace attnd
#endif  // HWY_ONCE
