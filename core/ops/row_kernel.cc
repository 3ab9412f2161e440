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
#include "hwy/cache_control.h"
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How far ahead of its loads a stream asks for memory, in bytes: docs/performance.md.
constexpr int kAhead = 1024;
HWY_INLINE void FetchAhead(const void* weights) { hwy::Prefetch(static_cast<const std::byte*>(weights) + kAhead); }

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

// Where kStreams products of one row by kVectors vectors of columns begin: as many streams of memory.
template <int kStreams>
struct Streams {
  const std::byte* a[kStreams];
  const std::byte* b[kStreams];
  std::byte* c[kStreams];
};

// The sums of all streams stay in registers.
template <int kStreams, int kVectors, class D>
struct Sums {
  HWY_INLINE explicit Sums(D d) {
    for (auto& of_stream : sums) {
      for (auto& sum : of_stream) sum = hn::Zero(d);
    }
  }
  HWY_INLINE void Store(D d, const Streams<kStreams>& at) const {
    for (int s = 0; s < kStreams; ++s) {
      auto* to = reinterpret_cast<hn::TFromD<D>*>(at.c[s]);
      for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[s][v], d, to + v * hn::Lanes(d));
    }
  }
  hn::Vec<D> sums[kStreams][kVectors];
};

template <bool kPairs>
struct Bytes {
  static constexpr int kStep = 4, kActivationBytes = 1, kWeightBytes = 1;
  template <int kStreams, int kVectors>
  static void Multiply(const Streams<kStreams>& at, int k) {
    const hn::ScalableTag<int32_t> d;
    const hn::Repartition<uint8_t, decltype(d)> du8;
    const hn::Repartition<int8_t, decltype(d)> di8;
    const int64_t bytes = hn::Lanes(di8);
    Sums<kStreams, kVectors, decltype(d)> sums(d);
    for (int64_t i = 0; i < k; i += kStep) {
      for (int s = 0; s < kStreams; ++s) {
        int32_t quad;
        std::memcpy(&quad, at.a[s] + i, sizeof(quad));
        const auto row = hn::BitCast(du8, hn::Set(d, quad));
        const auto* b = reinterpret_cast<const int8_t*>(at.b[s]) + i / kStep * kVectors * bytes;
        for (int v = 0; v < kVectors; ++v) {
          FetchAhead(b + v * bytes);
          sums.sums[s][v] = AddQuads<kPairs>(d, row, hn::LoadU(di8, b + v * bytes), sums.sums[s][v]);
        }
      }
    }
    sums.Store(d, at);
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
  static constexpr int kActivationBytes = 4, kWeightBytes = sizeof(T);
  template <int kStreams, int kVectors>
  static void Multiply(const Streams<kStreams>& at, int k) {
    const hn::ScalableTag<float> d;
    const int64_t lanes = hn::Lanes(d);
    Sums<kStreams, kVectors, decltype(d)> sums(d);
    for (int64_t i = 0; i < k; ++i) {
      for (int s = 0; s < kStreams; ++s) {
        const auto row = hn::Set(d, reinterpret_cast<const float*>(at.a[s])[i]);
        const T* b = reinterpret_cast<const T*>(at.b[s]) + i * kVectors * lanes;
        for (int v = 0; v < kVectors; ++v) {
          FetchAhead(b + v * lanes);
          sums.sums[s][v] = hn::MulAdd(row, Weights(d, b + v * lanes), sums.sums[s][v]);
        }
      }
    }
    sums.Store(d, at);
  }
};

// bf16 by bf16, whose neighbours of k lie side by side: as their f32 halves, for memory is slower than either.
struct Halves {
  static constexpr int kStep = 2, kActivationBytes = 2, kWeightBytes = 2;
  template <int kStreams, int kVectors>
  static void Multiply(const Streams<kStreams>& at, int k) {
    const hn::ScalableTag<float> d;
    const hn::Repartition<hwy::bfloat16_t, decltype(d)> d16;
    const hn::Repartition<int32_t, decltype(d)> d32;
    const int64_t halves = hn::Lanes(d16);
    Sums<kStreams, kVectors, decltype(d)> sums(d);
    for (int64_t i = 0; i < k; i += kStep) {
      for (int s = 0; s < kStreams; ++s) {
        int32_t pair;
        std::memcpy(&pair, at.a[s] + i * kActivationBytes, sizeof(pair));
        const auto row = hn::BitCast(d16, hn::Set(d32, pair));
        const auto* b = reinterpret_cast<const hwy::bfloat16_t*>(at.b[s]) + i / kStep * kVectors * halves;
        for (int v = 0; v < kVectors; ++v) {
          FetchAhead(b + v * halves);
          const auto weights = hn::LoadU(d16, b + v * halves);
          auto& sum = sums.sums[s][v];
          sum = hn::MulAdd(hn::PromoteEvenTo(d, row), hn::PromoteEvenTo(d, weights), sum);
          sum = hn::MulAdd(hn::PromoteOddTo(d, row), hn::PromoteOddTo(d, weights), sum);
        }
      }
    }
    sums.Store(d, at);
  }
};

// kStreams of the products from `index` on: those of a block's groups, block after block.
template <class Type, int kStreams, int kVectors>
void MultiplyStreams(const std::byte* a, int k, const RowBlocks& blocks, int index, std::byte* c) {
  Streams<kStreams> at;
  for (int s = 0; s < kStreams; ++s) {
    const int64_t block = (index + s) / blocks.groups, group = (index + s) % blocks.groups;
    at.a[s] = a + group * k * Type::kActivationBytes;
    at.b[s] = blocks.first + block * blocks.stride + group * k * blocks.columns * Type::kWeightBytes;
    at.c[s] = c + (group * blocks.count + block) * blocks.columns * static_cast<int64_t>(sizeof(float));
  }
  Type::template Multiply<kStreams, kVectors>(at, k);
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
