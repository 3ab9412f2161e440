#include "core/ops/row_kernel.h"

#include <algorithm>
#include <cstring>

#include "core/base/cpu.h"

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/row_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Whether quads of u8 x s8 are summed in 32 bits by one instruction.
constexpr bool kQuads = HWY_ARCH_X86 != 0 && HWY_TARGET <= HWY_AVX3_DL;

bool MultipliesQuads() { return kQuads; }

// sum += the products of four neighbours.
template <class D>
HWY_INLINE hn::Vec<D> AddQuads(D d, hn::Vec<hn::Repartition<uint8_t, D>> a, hn::Vec<hn::Repartition<int8_t, D>> b,
                               hn::Vec<D> sum) {
  if constexpr (kQuads) {
    return hn::SumOfMulQuadAccumulate(d, a, b, sum);
  } else {
    const hn::Repartition<int16_t, D> d16;
    return hn::Add(sum, hn::WidenMulPairwiseAdd(d, hn::SatWidenMulPairwiseAdd(d16, a, b), hn::Set(d16, 1)));
  }
}

// kBlocks blocks of kVectors vectors of columns, whose sums stay in registers: as many streams of memory.
template <int kBlocks, int kVectors>
HWY_INLINE void Multiply(const uint8_t* a, int k, const std::byte* first, int64_t stride, int32_t* c) {
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
      sums[s] = AddQuads(d, row, weights, sums[s]);
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
HWY_INLINE void Multiply(const float* a, int k, const std::byte* first, int64_t stride, float* c) {
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

template <int kBlocks, int kVectors>
void MultiplyBlocks(UkernelData data, const void* a, int k, const std::byte* first, int64_t stride, void* c) {
  switch (data) {
    case UkernelData::kU8S8:
      return Multiply<kBlocks, kVectors>(static_cast<const uint8_t*>(a), k, first, stride, static_cast<int32_t*>(c));
    case UkernelData::kF32Bf16:
      return Multiply<kBlocks, kVectors, hwy::bfloat16_t>(static_cast<const float*>(a), k, first, stride,
                                                          static_cast<float*>(c));
    case UkernelData::kF32:
    case UkernelData::kBf16:
      return Multiply<kBlocks, kVectors, float>(static_cast<const float*>(a), k, first, stride, static_cast<float*>(c));
  }
}

template <int kVectors>
void MultiplyRow(UkernelData data, const void* a, int k, const RowBlocks& blocks, void* c) {
  for (int block = 0, count = 0; block < blocks.count; block += count) {
    // Four streams, or two and two or three: what is left over is never one where it could be two.
    const int left = blocks.count - block;
    count = left == 5 || left == 6 ? 3 : std::min(left, 4);
    const auto multiply = count == 4   ? &MultiplyBlocks<4, kVectors>
                          : count == 3 ? &MultiplyBlocks<3, kVectors>
                          : count == 2 ? &MultiplyBlocks<2, kVectors>
                                       : &MultiplyBlocks<1, kVectors>;
    multiply(data, a, k, blocks.first + block * blocks.stride, blocks.stride,
             static_cast<float*>(c) + int64_t{block} * blocks.columns);  // as wide as int32_t
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
HWY_EXPORT(MultipliesQuads);

bool HasRowKernel(UkernelData data) {
  // Without VNNI in oneDNN weights are bounded so that a pair's sum fits 16 bits.
  if (data == UkernelData::kU8S8) return !CpuHasVnni() || HWY_DYNAMIC_DISPATCH(MultipliesQuads)();
  return data != UkernelData::kBf16;
}

void MultiplyRow(UkernelData data, const void* a, int k, const RowBlocks& blocks, void* c) {
  HWY_DYNAMIC_DISPATCH(MultiplyRowOf)(data, a, k, blocks, c);
}

}  // namespace attnd
#endif  // HWY_ONCE
