#include "core/ops/attention_copies.h"

#include <algorithm>

#include "core/base/aligned.h"

// clang-format off: the order of Highway's headers matters
#include "core/ops/targets_with_f16.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/attention_copies.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kRound = 16;    // columns that the score kernel takes at once
constexpr int kTogether = 4;  // keys: as many values as a block of 128 bits has

// Block b of v, for every b, to row 4b of `to`.
template <size_t kBlock, class D, class V>
HWY_INLINE void StoreBlocks(D d, V v, float* HWY_RESTRICT to) {
  if constexpr (kBlock * kTogether < HWY_MAX_LANES_D(D)) {
    const hn::BlockDFromD<D> d_block;
    hn::StoreU(hn::ExtractBlock<kBlock>(v), d_block, to + kBlock * kTogether * kKeyBlock);
    StoreBlocks<kBlock + 1>(d, v, to);
  }
}

// Four keys as four neighbouring columns.
HWY_INLINE void PackFour(const float* HWY_RESTRICT keys, int64_t stride, int head_dim, float* HWY_RESTRICT to) {
  const hn::FixedTag<float, HWY_HAVE_SCALABLE ? kTogether : HWY_MAX_BYTES / sizeof(float)> d;
  const hn::Repartition<double, decltype(d)> d_pairs;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const float* const k[kTogether] = {keys, keys + stride, keys + 2 * stride, keys + 3 * stride};
  int i = 0;
  for (; i + lanes <= head_dim; i += lanes) {
    const auto a = hn::LoadU(d, k[0] + i), b = hn::LoadU(d, k[1] + i);
    const auto e = hn::LoadU(d, k[2] + i), f = hn::LoadU(d, k[3] + i);
    // Of each block of 128 bits: values 0 and 1 of two keys, and values 2 and 3.
    const auto ab_low = hn::BitCast(d_pairs, hn::InterleaveLower(d, a, b));
    const auto ab_high = hn::BitCast(d_pairs, hn::InterleaveUpper(d, a, b));
    const auto ef_low = hn::BitCast(d_pairs, hn::InterleaveLower(d, e, f));
    const auto ef_high = hn::BitCast(d_pairs, hn::InterleaveUpper(d, e, f));
    float* rows = to + i * kKeyBlock;
    StoreBlocks<0>(d, hn::BitCast(d, hn::InterleaveLower(d_pairs, ab_low, ef_low)), rows);
    StoreBlocks<0>(d, hn::BitCast(d, hn::InterleaveUpper(d_pairs, ab_low, ef_low)), rows + kKeyBlock);
    StoreBlocks<0>(d, hn::BitCast(d, hn::InterleaveLower(d_pairs, ab_high, ef_high)), rows + 2 * kKeyBlock);
    StoreBlocks<0>(d, hn::BitCast(d, hn::InterleaveUpper(d_pairs, ab_high, ef_high)), rows + 3 * kKeyBlock);
  }
  for (; i < head_dim; ++i) {
    for (int j = 0; j < kTogether; ++j) to[i * kKeyBlock + j] = k[j][i];
  }
}

void Pack(const float* keys, int count, int64_t stride, int head_dim, float* packed) {
  for (; count > 0; count -= kKeyBlock, keys += kKeyBlock * stride, packed += int64_t{head_dim} * kKeyBlock) {
    const int columns = std::min(count, kKeyBlock);
    int column = 0;
    for (; column + kTogether <= columns; column += kTogether) {
      PackFour(keys + column * stride, stride, head_dim, packed + column);
    }
    for (; column < columns; ++column) {
      for (int i = 0; i < head_dim; ++i) packed[i * kKeyBlock + column] = keys[column * stride + i];
    }
    const int padded = RoundUp(columns, kRound);
    for (int i = 0; i < head_dim && columns < padded; ++i) {
      std::fill(packed + i * kKeyBlock + columns, packed + i * kKeyBlock + padded, 0.0f);
    }
  }
}

// To nearest, ties to even; on CPUs with an instruction for it denormals become 0, as tiles take them anyway.
template <class D, class V = hn::Vec<D>>
HWY_INLINE hn::Vec<hn::Rebind<hwy::bfloat16_t, D>> Bf16(D /*d*/, V v) {
  return hn::DemoteTo(hn::Rebind<hwy::bfloat16_t, D>(), v);
}

void Split(const float* HWY_RESTRICT from, int64_t stride, int rows, int columns, const int* halves, uint16_t* to) {
  const hn::ScalableTag<float> d;
  const hn::Rebind<hwy::bfloat16_t, decltype(d)> d16;
  const int lanes = static_cast<int>(hn::Lanes(d));
  auto* HWY_RESTRICT out = reinterpret_cast<hwy::bfloat16_t*>(to);
  for (int r = 0; r < rows; ++r, from += stride, out += int64_t{3} * columns) {
    for (int c = 0; c < columns; c += lanes) {
      const auto value = hn::LoadU(d, from + c);
      const auto half = Bf16(d, value);
      const auto second = Bf16(d, hn::Sub(value, hn::PromoteTo(d, half)));
      hn::StoreU(halves[0] == 0 ? half : second, d16, out + c);
      hn::StoreU(halves[1] == 0 ? half : second, d16, out + columns + c);
      hn::StoreU(halves[2] == 0 ? half : second, d16, out + 2 * columns + c);
    }
  }
}

void Round(const float* HWY_RESTRICT from, int64_t stride, int rows, int columns, uint16_t* to) {
  const hn::ScalableTag<float> d;
  const hn::Repartition<hwy::bfloat16_t, decltype(d)> d16;
  const int lanes = static_cast<int>(hn::Lanes(d));
  auto* HWY_RESTRICT out = reinterpret_cast<hwy::bfloat16_t*>(to);
  for (int r = 0; r < rows; ++r, from += stride, out += columns) {
    for (int c = 0; c < columns; c += 2 * lanes) {
      const auto first = hn::LoadU(d, from + c), second = hn::LoadU(d, from + c + lanes);
      hn::StoreU(hn::OrderedDemote2To(d16, first, second), d16, out + c);
    }
  }
}

void Pair(const float* HWY_RESTRICT from, int64_t stride, int rows, int padded, int columns, uint32_t* to) {
  const hn::ScalableTag<float> d;
  const hn::RebindToUnsigned<decltype(d)> du;
  const hn::Rebind<uint16_t, decltype(d)> du16;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto bits = [&](const float* x)
                        HWY_ATTR { return hn::PromoteTo(du, hn::BitCast(du16, Bf16(d, hn::LoadU(d, x)))); };
  for (int r = 0; r < padded; r += 2, from += 2 * stride, to += columns) {
    for (int c = 0; c < columns; c += lanes) {
      const auto first = r < rows ? bits(from + c) : hn::Zero(du);
      const auto second = r + 1 < rows ? bits(from + stride + c) : hn::Zero(du);
      hn::StoreU(hn::Or(first, hn::ShiftLeft<16>(second)), du, to + c);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Pack);
HWY_EXPORT(Split);
HWY_EXPORT(Round);
HWY_EXPORT(Pair);

void PackKeys(const float* keys, int count, int64_t stride, int head_dim, float* packed) {
  HWY_DYNAMIC_DISPATCH(Pack)(keys, count, stride, head_dim, packed);
}

void SplitRows(const float* from, int64_t stride, int rows, int columns, const int (&halves)[3], uint16_t* to) {
  HWY_DYNAMIC_DISPATCH(Split)(from, stride, rows, columns, halves, to);
}

void RoundRows(const float* from, int64_t stride, int rows, int columns, uint16_t* to) {
  HWY_DYNAMIC_DISPATCH(Round)(from, stride, rows, columns, to);
}

void PairRows(const float* from, int64_t stride, int rows, int padded, int columns, uint32_t* to) {
  HWY_DYNAMIC_DISPATCH(Pair)(from, stride, rows, padded, columns, to);
}

}  // namespace attnd
#endif  // HWY_ONCE
