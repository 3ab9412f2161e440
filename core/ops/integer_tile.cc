#include "core/ops/integer_tile.h"

#include <cstddef>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/integer_tile.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "core/ops/load-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows that are scaled together.
constexpr int kScaledRows = 4;

// n values of kRows rows from (row, c) on, which share the loads of what belongs to a column. Rows and groups are known
// when this is compiled, and unrolled: what belongs to a row stays in registers.
template <int kGroups, int kRows, class D, class V = hn::Vec<D>>
HWY_INLINE void ScaleVector(D d, const IntegerTile& t, int row, int c, size_t n, const V* scales /* [rows, groups] */,
                            const V* offsets /* [rows, groups] */, int64_t stride, float* HWY_RESTRICT y) {
  const hn::RebindToSigned<D> di;
  const int32_t* HWY_RESTRICT sums = t.sums + int64_t{row} * t.sums_stride + c;
  y += row * stride + c;
  V values[kRows];
  HWY_UNROLL(kRows)
  for (int r = 0; r < kRows; ++r) values[r] = t.accumulate ? Some(d, y + r * stride, n) : hn::Zero(d);
  HWY_UNROLL(kGroups)
  for (int g = 0; g < kGroups; ++g) {
    const V weight_scale = Some(d, t.scales.weight_scales + g * t.scales.column_stride + c, n);
    const V weight_sum = Some(d, t.scales.weight_sums + g * t.scales.column_stride + c, n);
    HWY_UNROLL(kRows)
    for (int r = 0; r < kRows; ++r) {
      const V sum = hn::ConvertTo(d, Some(di, sums + g * t.group_stride + r * t.sums_stride, n));
      values[r] = hn::MulAdd(hn::Mul(sum, weight_scale), scales[r * kGroups + g], values[r]);
      values[r] = hn::MulAdd(weight_sum, offsets[r * kGroups + g], values[r]);
    }
  }
  HWY_UNROLL(kRows)
  for (int r = 0; r < kRows; ++r) {
    if (n == hn::Lanes(d)) {
      hn::StoreU(values[r], d, y + r * stride);
    } else {
      hn::StoreN(values[r], d, y + r * stride, n);
    }
  }
}

template <int kGroups, int kRows>
HWY_INLINE void ScaleSomeRows(const IntegerTile& t, int row, int columns, int64_t stride, float* HWY_RESTRICT y) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  hn::Vec<decltype(d)> scales[kRows * kGroups], offsets[kRows * kGroups];
  HWY_UNROLL(kRows)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(kGroups)
    for (int g = 0; g < kGroups; ++g) {
      scales[r * kGroups + g] = hn::Set(d, t.scales.row_scales[g * t.scales.row_stride + row + r]);
      offsets[r * kGroups + g] = hn::Set(d, t.scales.row_offsets[g * t.scales.row_stride + row + r]);
    }
  }
  int c = 0;
  for (; c + lanes <= columns; c += lanes) {
    ScaleVector<kGroups, kRows>(d, t, row, c, lanes, scales, offsets, stride, y);
  }
  if (c < columns) ScaleVector<kGroups, kRows>(d, t, row, c, columns - c, scales, offsets, stride, y);
}

template <int kGroups>
void ScaleGroups(const IntegerTile& t, int rows, int columns, int64_t stride, float* HWY_RESTRICT y) {
  int row = 0;
  for (; row + kScaledRows <= rows; row += kScaledRows) ScaleSomeRows<kGroups, kScaledRows>(t, row, columns, stride, y);
  for (; row < rows; ++row) ScaleSomeRows<kGroups, 1>(t, row, columns, stride, y);
}

void Scale(const IntegerTile& t, int rows, int columns, int64_t stride, float* y) {
  static_assert(IntegerTile::kMaxGroups == 4);
  const auto scale = t.scales.groups == 4   ? &ScaleGroups<4>
                     : t.scales.groups == 3 ? &ScaleGroups<3>
                     : t.scales.groups == 2 ? &ScaleGroups<2>
                                            : &ScaleGroups<1>;
  scale(t, rows, columns, stride, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Scale);

void ScaleSums(const IntegerTile& from, int rows, int columns, int64_t stride, float* y) {
  HWY_DYNAMIC_DISPATCH(Scale)(from, rows, columns, stride, y);
}

}  // namespace attnd
#endif  // HWY_ONCE
