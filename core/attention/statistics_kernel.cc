#include "core/attention/statistics_kernel.h"

#include <algorithm>
#include <cassert>
#include <cfloat>
#include <cstddef>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/attention/statistics_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ln(x) for normal x > 0: x = 2^e (1 + t) with 1 + t in [sqrt(1/2), sqrt(2)), then a minimax polynomial in t (error
// 2e-7).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V FastLog(D d, V x) {
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(di, x);
  const auto exponent = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3f3504f3)));
  const V t = hn::Sub(hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(exponent))), hn::Set(d, 1.0f));
  V poly = hn::Set(d, 0.11827482f);
  poly = hn::MulAdd(poly, t, hn::Set(d, -0.18901986f));
  poly = hn::MulAdd(poly, t, hn::Set(d, 0.20604675f));
  poly = hn::MulAdd(poly, t, hn::Set(d, -0.24881339f));
  poly = hn::MulAdd(poly, t, hn::Set(d, 0.33303300f));
  poly = hn::MulAdd(poly, t, hn::Set(d, -0.50001967f));
  poly = hn::MulAdd(poly, t, hn::Set(d, 1.0000032f));
  return hn::MulAdd(hn::ConvertTo(d, exponent), hn::Set(d, 0.69314718f), hn::Mul(poly, t));
}

// kRows rows at a time: their chains of additions overlap, and the column sums are read and written once for all.
template <int kRows, bool kEntropy, bool kColumns>
HWY_INLINE void Rows(const AttentionTile& tile, int row, const TileWants& wants, TileSums& sums) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const float* const p = tile.probabilities + static_cast<ptrdiff_t>(row) * tile.stride;
  const V tiny = hn::Set(d, FLT_MIN);
  // Named one by one, as vectors of scalable targets cannot be array elements.
  V plogp0 = hn::Zero(d), plogp1 = plogp0, plogp2 = plogp0, plogp3 = plogp0;
  V max0 = hn::Zero(d), max1 = max0, max2 = max0, max3 = max0;
  V distance = hn::Zero(d);
  V offset = hn::Sub(hn::Iota(d, 0), hn::Set(d, static_cast<float>(tile.query_begin + row)));  // j - i of the first row

  // Two calls: the compiler would leave it a function, which keeps the sums in memory.
  const auto step = [&](int j, int valid) HWY_ATTR __attribute__((always_inline)) {
    const auto load = [&](int r) HWY_ATTR {
      const float* at = p + static_cast<ptrdiff_t>(r) * tile.stride + j;
      return valid == lanes ? hn::LoadU(d, at) : hn::LoadN(d, at, valid);
    };
    V column = hn::Zero(d);
    const auto one = [&](int r, V& plogp, V& max) HWY_ATTR {
      const V v = load(r);
      max = hn::Max(max, v);
      if constexpr (kEntropy) plogp = hn::MulAdd(v, FastLog(d, hn::Max(v, tiny)), plogp);
      if constexpr (kColumns) {
        column = hn::Add(column, v);
        distance = hn::MulAdd(v, hn::Abs(hn::Sub(offset, hn::Set(d, static_cast<float>(r)))), distance);
      }
    };
    one(0, plogp0, max0);
    if constexpr (kRows > 1) {
      one(1, plogp1, max1);
      one(2, plogp2, max2);
      one(3, plogp3, max3);
    }
    if constexpr (kColumns) {
      float* const out = wants.columns + j;
      if (valid == lanes) {
        hn::StoreU(hn::Add(hn::LoadU(d, out), column), d, out);
      } else {
        hn::StoreN(hn::Add(hn::LoadN(d, out, valid), column), d, out, valid);
      }
      offset = hn::Add(offset, hn::Set(d, static_cast<float>(lanes)));
    }
  };
  int j = 0;
  for (; j + lanes <= tile.key_count; j += lanes) step(j, lanes);
  if (j < tile.key_count) step(j, tile.key_count - j);

  const auto finish = [&](int r, V plogp, V max) HWY_ATTR {
    const float maximum = hn::ReduceMax(d, max);
    sums.maxima += maximum;
    sums.real_rows += maximum > 0.0f ? 1 : 0;
    if constexpr (kEntropy) {
      const float entropy = std::max(0.0f, -hn::ReduceSum(d, plogp));
      sums.entropy += entropy;
      if (wants.row_entropy != nullptr) wants.row_entropy[row + r] = entropy;
    }
  };
  finish(0, plogp0, max0);
  if constexpr (kRows > 1) {
    finish(1, plogp1, max1);
    finish(2, plogp2, max2);
    finish(3, plogp3, max3);
  }
  if constexpr (kColumns) sums.distance += hn::ReduceSum(d, distance);
}

// Of a tile that has it.
void AddEntropy(const AttentionTile& tile, const TileWants& wants, TileSums& sums) {
  for (int r = 0; r < tile.query_count; ++r) sums.entropy += tile.entropy[r];
  if (wants.row_entropy != nullptr) std::copy_n(tile.entropy, tile.query_count, wants.row_entropy);
}

template <bool kEntropy, bool kColumns>
HWY_INLINE TileSums AllRows(const AttentionTile& tile, const TileWants& wants) {
  TileSums sums;
  if constexpr (kColumns) std::fill_n(wants.columns, tile.key_count, 0.0f);
  int row = 0;
  for (; row + 4 <= tile.query_count; row += 4) Rows<4, kEntropy, kColumns>(tile, row, wants, sums);
  for (; row < tile.query_count; ++row) Rows<1, kEntropy, kColumns>(tile, row, wants, sums);
  return sums;
}

TileSums TileStatistics(const AttentionTile& tile, const TileWants& wants) {
  if (wants.entropy && tile.entropy != nullptr) {
    TileSums sums = wants.columns != nullptr ? AllRows<false, true>(tile, wants) : AllRows<false, false>(tile, wants);
    AddEntropy(tile, wants, sums);
    return sums;
  }
  if (wants.columns != nullptr) {
    return wants.entropy ? AllRows<true, true>(tile, wants) : AllRows<false, true>(tile, wants);
  }
  return wants.entropy ? AllRows<true, false>(tile, wants) : AllRows<false, false>(tile, wants);
}

RowSums SumsOfRow(const float* HWY_RESTRICT row, const int32_t* HWY_RESTRICT ids, int columns, int32_t token) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> di;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto tiny = hn::Set(d, FLT_MIN);
  const auto sought = hn::Set(di, token);
  auto plogp = hn::Zero(d), mass = plogp, copied = plogp;
  for (int j = 0; j < columns; j += lanes) {
    const int valid = std::min(lanes, columns - j);
    const auto v = valid == lanes ? hn::LoadU(d, row + j) : hn::LoadN(d, row + j, valid);
    const auto id = valid == lanes ? hn::LoadU(di, ids + j) : hn::LoadN(di, ids + j, valid);
    plogp = hn::MulAdd(v, FastLog(d, hn::Max(v, tiny)), plogp);
    mass = hn::Add(mass, v);
    copied = hn::Add(copied, hn::IfThenElseZero(hn::RebindMask(d, hn::Eq(id, sought)), v));
  }
  return {.entropy = std::max(0.0f, -hn::ReduceSum(d, plogp)),
          .mass = hn::ReduceSum(d, mass),
          .copied = hn::ReduceSum(d, copied)};
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(TileStatistics);
HWY_EXPORT(SumsOfRow);

TileSums TileStatistics(const AttentionTile& tile, const TileWants& wants) {
  return HWY_DYNAMIC_DISPATCH(TileStatistics)(tile, wants);
}

RowSums SumsOfRow(absl::Span<const float> row, absl::Span<const int32_t> ids, int32_t token) {
  assert(ids.size() >= row.size());
  return HWY_DYNAMIC_DISPATCH(SumsOfRow)(row.data(), ids.data(), static_cast<int>(row.size()), token);
}

}  // namespace attnd
#endif  // HWY_ONCE
