#include "core/ops/row_kernel.h"

#include <algorithm>
#include <cstring>

// clang-format off: the order of Highway's headers matters
#define HWY_WANT_AVX3_DL  // its VNNI: AddQuads is one instruction there
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/row_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/cache_control.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How far ahead of its loads a stream asks for memory, in bytes: docs/performance.md.
constexpr int kAhead = 1024;
HWY_INLINE void FetchAhead(const std::byte* weights) { hwy::Prefetch(weights + kAhead); }

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

// How a type multiplies: the values of kStep neighbours of k in every lane, and a vector of weights added to a sum.
template <bool kPairs>
struct Bytes {
  using Sum = int32_t;
  static constexpr int kStep = 4, kActivationBytes = 1, kWeightBytes = 1;
  template <class D>
  static HWY_INLINE auto Row(D d, const std::byte* a) {
    int32_t quad;
    std::memcpy(&quad, a, sizeof(quad));
    return hn::BitCast(hn::Repartition<uint8_t, D>(), hn::Set(d, quad));
  }
  template <class D, class Row>
  static HWY_INLINE hn::Vec<D> Add(D d, Row row, const std::byte* b, hn::Vec<D> sum) {
    const hn::Repartition<int8_t, D> d8;
    return AddQuads<kPairs>(d, row, hn::LoadU(d8, reinterpret_cast<const int8_t*>(b)), sum);
  }
};

// bf16 by bf16, whose neighbours of k lie side by side: as their f32 halves, for memory is slower than either.
struct Halves {
  using Sum = float;
  static constexpr int kStep = 2, kActivationBytes = 2, kWeightBytes = 2;
  template <class D>
  static HWY_INLINE auto Row(D, const std::byte* a) {
    int32_t pair;
    std::memcpy(&pair, a, sizeof(pair));
    return hn::BitCast(hn::Repartition<hwy::bfloat16_t, D>(), hn::Set(hn::Repartition<int32_t, D>(), pair));
  }
  template <class D, class Row>
  static HWY_INLINE hn::Vec<D> Add(D d, Row row, const std::byte* b, hn::Vec<D> sum) {
    const hn::Repartition<hwy::bfloat16_t, D> d16;
    const auto weights = hn::LoadU(d16, reinterpret_cast<const hwy::bfloat16_t*>(b));
    sum = hn::MulAdd(hn::PromoteEvenTo(d, row), hn::PromoteEvenTo(d, weights), sum);
    return hn::MulAdd(hn::PromoteOddTo(d, row), hn::PromoteOddTo(d, weights), sum);
  }
};

template <class D>
HWY_INLINE hn::Vec<D> Weights(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE hn::Vec<D> Weights(D d, const hwy::bfloat16_t* from) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), from));
}

template <typename T>
struct Floats {
  using Sum = float;
  static constexpr int kStep = 1, kActivationBytes = 4, kWeightBytes = sizeof(T);
  template <class D>
  static HWY_INLINE hn::Vec<D> Row(D d, const std::byte* a) {
    return hn::Set(d, *reinterpret_cast<const float*>(a));
  }
  template <class D, class Row>
  static HWY_INLINE hn::Vec<D> Add(D d, Row row, const std::byte* b, hn::Vec<D> sum) {
    return hn::MulAdd(row, Weights(d, reinterpret_cast<const T*>(b)), sum);
  }
};

// kStreams products of kVectors vectors of columns, those of a block's groups, block after block, from `index` on: as
// many streams of memory. The sums stay in registers, which takes unrolled loops: g++ does not at -O2.
template <class Type, int kStreams, int kVectors>
void MultiplyStreams(const std::byte* row, int k, const RowBlocks& blocks, int index, std::byte* out) {
  using Sum = typename Type::Sum;
  const hn::ScalableTag<Sum> d;
  const std::byte* a[kStreams];
  const std::byte* b[kStreams];
  Sum* c[kStreams];
  hn::Vec<decltype(d)> sums[kStreams][kVectors];
  HWY_UNROLL(4)
  for (int s = 0; s < kStreams; ++s) {
    const int64_t block = (index + s) / blocks.groups, group = (index + s) % blocks.groups;
    a[s] = row + group * k * Type::kActivationBytes;
    b[s] = blocks.first + block * blocks.stride + group * k * blocks.columns * Type::kWeightBytes;
    c[s] = reinterpret_cast<Sum*>(out) + (group * blocks.count + block) * blocks.columns;
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) sums[s][v] = hn::Zero(d);
  }
  const int64_t lanes = hn::Lanes(d), vector = lanes * Type::kStep * Type::kWeightBytes;  // bytes of kStep rows of B
  for (int64_t i = 0; i < k; i += Type::kStep) {
    HWY_UNROLL(4)
    for (int s = 0; s < kStreams; ++s) {
      const auto values = Type::Row(d, a[s] + i * Type::kActivationBytes);
      const std::byte* weights = b[s] + i / Type::kStep * kVectors * vector;
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) {
        FetchAhead(weights + v * vector);
        sums[s][v] = Type::Add(d, values, weights + v * vector, sums[s][v]);
      }
    }
  }
  HWY_UNROLL(4)
  for (int s = 0; s < kStreams; ++s) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[s][v], d, c[s] + v * lanes);
  }
}

template <class Type, int kVectors>
void MultiplyProducts(const void* a, int k, const RowBlocks& blocks, void* c) {
  const int products = blocks.count * blocks.groups;
  for (int index = 0, count = 0; index < products; index += count) {
    // Up to four streams; five or six in two halves.
    const int left = products - index;
    count = left == 5 || left == 6 ? 3 : std::min(left, 4);
    const auto multiply = count == 4   ? &MultiplyStreams<Type, 4, kVectors>
                          : count == 3 ? &MultiplyStreams<Type, 3, kVectors>
                          : count == 2 ? &MultiplyStreams<Type, 2, kVectors>
                                       : &MultiplyStreams<Type, 1, kVectors>;
    multiply(static_cast<const std::byte*>(a), k, blocks, index, static_cast<std::byte*>(c));
  }
}

template <int kVectors>
void MultiplyRow(UkernelData data, const void* a, int k, const RowBlocks& blocks, void* c) {
  switch (data) {
    case UkernelData::kU8S8:
      return blocks.pairs ? MultiplyProducts<Bytes<true>, kVectors>(a, k, blocks, c)
                          : MultiplyProducts<Bytes<false>, kVectors>(a, k, blocks, c);
    case UkernelData::kBf16:
      return MultiplyProducts<Halves, kVectors>(a, k, blocks, c);
    case UkernelData::kF32Bf16:
      return MultiplyProducts<Floats<hwy::bfloat16_t>, kVectors>(a, k, blocks, c);
    case UkernelData::kF32:
      return MultiplyProducts<Floats<float>, kVectors>(a, k, blocks, c);
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
