#include "core/ops/row_kernel.h"

#include <algorithm>
#include <cstring>

// clang-format off: the order of Highway's headers matters
// Of all files this one gains by AVX-512's VNNI: AddQuads is one instruction there.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_ZEN4 | HWY_AVX3_SPR)
#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/row_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// sum += the products of four neighbours. kPairs: those of two fit 16 bits, which takes half the instructions.
template <bool kPairs, class D>
HWY_INLINE hn::Vec<D> AddQuads(D d, hn::Vec<hn::Repartition<uint8_t, D>> a, hn::Vec<hn::Repartition<int8_t, D>> b,
                               hn::Vec<D> sum) {
  if constexpr (kPairs) {
    const hn::Repartition<int16_t, D> d16;
    return hn::Add(sum, hn::WidenMulPairwiseAdd(d, hn::SatWidenMulPairwiseAdd(d16, a, b), hn::Set(d16, 1)));
  } else {
    return hn::SumOfMulQuadAccumulate(d, a, b, sum);
  }
}

// kBlocks blocks of kVectors vectors of columns, whose sums stay in registers: as many streams of memory.
template <int kBlocks, int kVectors, bool kPairs>
void MultiplyBytes(const uint8_t* a, int k, const std::byte* first, int64_t stride, int32_t* c) {
  const hn::ScalableTag<int32_t> d;
  const hn::Repartition<uint8_t, decltype(d)> du8;
  const hn::Repartition<int8_t, decltype(d)> di8;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto* b = reinterpret_cast<const int8_t*>(first);
  hn::Vec<decltype(d)> sums[kBlocks * kVectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (int i = 0; i < k; i += 4, b += kVectors * lanes * 4) {
    int32_t quad;
    std::memcpy(&quad, a + i, 4);
    const auto row = hn::BitCast(du8, hn::Set(d, quad));
    for (int s = 0; s < kBlocks * kVectors; ++s) {
      const auto weights = hn::LoadU(di8, b + s / kVectors * stride + s % kVectors * lanes * 4);
      sums[s] = AddQuads<kPairs>(d, row, weights, sums[s]);
    }
  }
  for (int s = 0; s < kBlocks * kVectors; ++s) hn::StoreU(sums[s], d, c + s * lanes);
}

template <class D>
HWY_INLINE hn::Vec<D> Weights(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> Weights(D d, const hwy::bfloat16_t* from) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), from));
}

template <int kBlocks, int kVectors, typename T>
void MultiplyFloats(const float* a, int k, const std::byte* first, int64_t stride, float* c) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto* b = reinterpret_cast<const T*>(first);
  const int64_t apart = stride / static_cast<int64_t>(sizeof(T));
  hn::Vec<decltype(d)> sums[kBlocks * kVectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (int i = 0; i < k; ++i, b += kVectors * lanes) {
    const auto row = hn::Set(d, a[i]);
    for (int s = 0; s < kBlocks * kVectors; ++s) {
      sums[s] = hn::MulAdd(row, Weights(d, b + s / kVectors * apart + s % kVectors * lanes), sums[s]);
    }
  }
  for (int s = 0; s < kBlocks * kVectors; ++s) hn::StoreU(sums[s], d, c + s * lanes);
}

// bf16 by bf16, whose neighbours of k lie side by side: as their f32 halves, for memory is slower than either.
template <int kBlocks, int kVectors>
void MultiplyHalves(const uint16_t* a, int k, const std::byte* first, int64_t stride, float* c) {
  const hn::ScalableTag<float> d;
  const hn::Repartition<hwy::bfloat16_t, decltype(d)> d16;
  const hn::Repartition<int32_t, decltype(d)> d32;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto* b = reinterpret_cast<const hwy::bfloat16_t*>(first);
  const int64_t apart = stride / static_cast<int64_t>(sizeof(hwy::bfloat16_t));
  hn::Vec<decltype(d)> sums[kBlocks * kVectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  for (int i = 0; i < k; i += 2, b += kVectors * lanes * 2) {
    int32_t pair;
    std::memcpy(&pair, a + i, 4);
    const auto row = hn::BitCast(d16, hn::Set(d32, pair));
    const auto even = hn::PromoteEvenTo(d, row), odd = hn::PromoteOddTo(d, row);
    for (int s = 0; s < kBlocks * kVectors; ++s) {
      const auto weights = hn::LoadU(d16, b + s / kVectors * apart + s % kVectors * lanes * 2);
      sums[s] = hn::MulAdd(even, hn::PromoteEvenTo(d, weights), sums[s]);
      sums[s] = hn::MulAdd(odd, hn::PromoteOddTo(d, weights), sums[s]);
    }
  }
  for (int s = 0; s < kBlocks * kVectors; ++s) hn::StoreU(sums[s], d, c + s * lanes);
}

template <int kBlocks, int kVectors>
void MultiplyBlocks(UkernelData data, const void* a, int k, const RowBlocks& blocks, int block, void* c) {
  const std::byte* first = blocks.first + block * blocks.stride;
  void* to = static_cast<float*>(c) + int64_t{block} * blocks.columns;  // as wide as int32_t
  const int64_t apart = blocks.stride;
  switch (data) {
    case UkernelData::kU8S8: {
      const auto multiply =
          blocks.pairs ? &MultiplyBytes<kBlocks, kVectors, true> : &MultiplyBytes<kBlocks, kVectors, false>;
      return multiply(static_cast<const uint8_t*>(a), k, first, apart, static_cast<int32_t*>(to));
    }
    case UkernelData::kBf16:
      return MultiplyHalves<kBlocks, kVectors>(static_cast<const uint16_t*>(a), k, first, apart,
                                               static_cast<float*>(to));
    case UkernelData::kF32Bf16:
      return MultiplyFloats<kBlocks, kVectors, hwy::bfloat16_t>(static_cast<const float*>(a), k, first, apart,
                                                                static_cast<float*>(to));
    case UkernelData::kF32:
      return MultiplyFloats<kBlocks, kVectors, float>(static_cast<const float*>(a), k, first, apart,
                                                      static_cast<float*>(to));
  }
}

template <int kVectors>
void MultiplyRow(UkernelData data, const void* a, int k, const RowBlocks& blocks, void* c) {
  for (int block = 0, count = 0; block < blocks.count; block += count) {
    // Up to four streams; five or six blocks, as strips have them, in two halves.
    const int left = blocks.count - block;
    count = left == 5 || left == 6 ? 3 : std::min(left, 4);
    const auto multiply = count == 4   ? &MultiplyBlocks<4, kVectors>
                          : count == 3 ? &MultiplyBlocks<3, kVectors>
                          : count == 2 ? &MultiplyBlocks<2, kVectors>
                                       : &MultiplyBlocks<1, kVectors>;
    multiply(data, a, k, blocks, block, c);
  }
}

void MultiplyRowOf(UkernelData data, const void* a, int k, const RowBlocks& blocks, void* c) {
  switch (blocks.columns / static_cast<int>(hn::Lanes(hn::ScalableTag<float>()))) {
    case 1:
      return MultiplyRow<1>(data, a, k, blocks, c);
    case 2:
      return MultiplyRow<2>(data, a, k, blocks, c);
    case 3:
      return MultiplyRow<3>(data, a, k, blocks, c);
    case 4:
      return MultiplyRow<4>(data, a, k, blocks, c);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(MultiplyRowOf);

void MultiplyRow(UkernelData data, const void* a, int k, const RowBlocks& blocks, void* c) {
  HWY_DYNAMIC_DISPATCH(MultiplyRowOf)(data, a, k, blocks, c);
}

}  // namespace attnd
#endif  // HWY_ONCE
