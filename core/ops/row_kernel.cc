#include "core/ops/row_kernel.h"

#include <algorithm>

// clang-format off: the order of Highway's headers matters
#include "core/ops/targets_with_f16.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/row_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "core/ops/load-inl.h"
#include "core/ops/products-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How far ahead of its loads a stream asks for memory, in bytes: docs/performance.md.
constexpr int kAhead = 1024;
constexpr int kFetchedBytes = 64;  // by a prefetch
HWY_INLINE void FetchAhead(const std::byte* weights) { hwy::Prefetch(weights + kAhead); }

// kStreams products of kVectors vectors of columns, those of a block's groups, block after block, from `index` on: as
// many streams of memory. The sums stay in registers, which takes unrolled loops: g++ does not at -O2.
template <class Type, int kStreams, int kVectors>
void MultiplyStreams(const std::byte* row, int k, const RowBlocks& blocks, int index, std::byte* out) {
  using Sum = typename Type::Sum;
  const hn::ScalableTag<Sum> d;
  const std::byte* a[kStreams];
  const std::byte* b[kStreams];
  Sum* c[kStreams];
  decltype(Type::Zero(d)) sums[kStreams][kVectors];
  HWY_UNROLL(4)
  for (int s = 0; s < kStreams; ++s) {
    const int64_t block = (index + s) / blocks.groups, group = (index + s) % blocks.groups;
    a[s] = row + group * k * Type::kActivationBytes;
    b[s] = blocks.first + block * blocks.stride + group * k * blocks.columns * Type::kWeightBytes;
    c[s] = reinterpret_cast<Sum*>(out) + (group * blocks.count + block) * blocks.columns;
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) sums[s][v] = Type::Zero(d);
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
        sums[s][v] = Type::Add(d, values, Type::Weights(d, weights + v * vector), sums[s][v]);
      }
    }
  }
  HWY_UNROLL(4)
  for (int s = 0; s < kStreams; ++s) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(Type::Stored(d, sums[s][v]), d, c[s] + v * lanes);
  }
}

// The same of blocks of one group with scales: those are applied once for kScaledInputs of k.
template <int kStreams, int kVectors>
void MultiplyScaledStreams(const std::byte* row, int k, const RowBlocks& blocks, int index, std::byte* out) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto* a = reinterpret_cast<const float*>(row);
  const std::byte* b[kStreams];
  hn::Vec<decltype(d)> totals[kStreams][kVectors];
  HWY_UNROLL(4)
  for (int s = 0; s < kStreams; ++s) {
    b[s] = blocks.first + (index + s) * blocks.stride;
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) totals[s][v] = hn::Zero(d);
  }
  for (int i = 0; i < k; i += kScaledInputs) {
    hn::Vec<decltype(d)> sums[kStreams][kVectors];
    const float* scales[kStreams];
    HWY_UNROLL(4)
    for (int s = 0; s < kStreams; ++s) {
      scales[s] = reinterpret_cast<const float*>(b[s]);
      b[s] += kVectors * lanes * sizeof(float);
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) sums[s][v] = hn::Zero(d);
    }
    for (int j = 0; j < kScaledInputs; ++j) {
      const auto value = hn::Set(d, a[i + j]);
      HWY_UNROLL(4)
      for (int s = 0; s < kStreams; ++s) {
        FetchAhead(b[s]);
        HWY_UNROLL(4)
        for (int v = 0; v < kVectors; ++v, b[s] += lanes) {
          sums[s][v] = hn::MulAdd(value, ScaledBytes::Load(d, b[s]), sums[s][v]);
        }
      }
    }
    HWY_UNROLL(4)
    for (int s = 0; s < kStreams; ++s) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) {
        totals[s][v] = hn::MulAdd(sums[s][v], hn::LoadU(d, scales[s] + v * lanes), totals[s][v]);
      }
    }
  }
  HWY_UNROLL(4)
  for (int s = 0; s < kStreams; ++s) {
    auto* c = reinterpret_cast<float*>(out) + (index + s) * blocks.columns;
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(totals[s][v], d, c + v * lanes);
  }
}

#if HWY_HAVE_FLOAT16
// MultiplyStreams of bytes that are made f16 on the way.
template <int kStreams, int kVectors>
void MultiplyF16ByteStreams(const std::byte* row, int k, const RowBlocks& blocks, int index, std::byte* out) {
  const hn::ScalableTag<float> d;
  const hn::Repartition<hwy::float16_t, decltype(d)> d16;
  using V = hn::Vec<decltype(d16)>;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d16));
  const int64_t group_bytes = int64_t{k} / F16Bytes::kStep * F16Bytes::StepBytes(blocks.columns);
  const std::byte* a[kStreams];
  const std::byte* b[kStreams];
  float* c[kStreams];
  V sums[kStreams][kVectors];
  HWY_UNROLL(4)
  for (int s = 0; s < kStreams; ++s) {
    const int64_t block = (index + s) / blocks.groups, group = (index + s) % blocks.groups;
    a[s] = row + group * k * F16Bytes::kActivationBytes;
    b[s] = blocks.first + block * blocks.stride + group * group_bytes;
    c[s] = reinterpret_cast<float*>(out) + (group * blocks.count + block) * blocks.columns;
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) sums[s][v] = F16Pairs::Zero(d);
  }
  for (int64_t i = 0; i < k; i += kScaledInputs) {
    V scales[kStreams][kVectors];
    HWY_UNROLL(4)
    for (int s = 0; s < kStreams; ++s) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v, b[s] += lanes * sizeof(hwy::float16_t)) {
        scales[s][v] = hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(b[s]));
      }
    }
    for (int64_t j = i; j < i + kScaledInputs; j += F16Bytes::kStep) {
      HWY_UNROLL(4)
      for (int s = 0; s < kStreams; ++s) {
        const auto values = F16Pairs::Row(d, a[s] + j * F16Bytes::kActivationBytes);
        FetchAhead(b[s]);
        FetchAhead(b[s] + kFetchedBytes);
        HWY_UNROLL(4)
        for (int v = 0; v < kVectors; ++v, b[s] += lanes) {
          sums[s][v] = F16Pairs::Add(d, values, hn::Mul(F16Bytes::Load(d16, b[s]), scales[s][v]), sums[s][v]);
        }
      }
    }
  }
  HWY_UNROLL(4)
  for (int s = 0; s < kStreams; ++s) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      hn::StoreU(F16Pairs::Stored(d, sums[s][v]), d, c[s] + v * static_cast<int64_t>(hn::Lanes(d)));
    }
  }
}
#endif

template <class Type, int kStreams, int kVectors>
constexpr auto StreamsOf() {
  if constexpr (hwy::IsSame<Type, ScaledBytes>()) {
    return &MultiplyScaledStreams<kStreams, kVectors>;
#if HWY_HAVE_FLOAT16
  } else if constexpr (hwy::IsSame<Type, F16Bytes>()) {
    return &MultiplyF16ByteStreams<kStreams, kVectors>;
#endif
  } else {
    return &MultiplyStreams<Type, kStreams, kVectors>;
  }
}

template <class Type, int kVectors>
void MultiplyProducts(const void* a, int k, const RowBlocks& blocks, void* c) {
  const int products = blocks.count * blocks.groups;
  for (int index = 0, count = 0; index < products; index += count) {
    // Up to four streams; five or six in two halves.
    const int left = products - index;
    count = left == 5 || left == 6 ? 3 : std::min(left, 4);
    const auto multiply = count == 4   ? StreamsOf<Type, 4, kVectors>()
                          : count == 3 ? StreamsOf<Type, 3, kVectors>()
                          : count == 2 ? StreamsOf<Type, 2, kVectors>()
                                       : StreamsOf<Type, 1, kVectors>();
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
    case UkernelData::kF32S8:
      return MultiplyProducts<ScaledBytes, kVectors>(a, k, blocks, c);
    case UkernelData::kF16S8:
#if HWY_HAVE_FLOAT16
      return MultiplyProducts<F16Bytes, kVectors>(a, k, blocks, c);
#else
      HWY_ABORT("no f16 on this target: HasF16Kernel()");
#endif
    case UkernelData::kF16:
#if HWY_HAVE_FLOAT16
      return MultiplyProducts<F16Pairs, kVectors>(a, k, blocks, c);
#else
      HWY_ABORT("no f16 on this target: HasF16Kernel()");
#endif
    case UkernelData::kF32Slices:
      HWY_ABORT("by SliceKernel alone");
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

void ScaleOneRow(const float* HWY_RESTRICT products, const GroupScales& scales, int columns, bool accumulate,
                 float* HWY_RESTRICT y) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int>(hn::Lanes(d));
  for (int c = 0; c < columns; c += lanes) {
    const size_t n = std::min(lanes, columns - c);
    auto value = accumulate ? Some(d, y + c, n) : hn::Zero(d);
    for (int g = 0; g < scales.groups; ++g) {
      const auto product = hn::Mul(Some(d, products + int64_t{g} * columns + c, n),
                                   Some(d, scales.weight_scales + g * scales.column_stride + c, n));
      value = hn::MulAdd(product, hn::Set(d, scales.row_scales[g * scales.row_stride]), value);
    }
    hn::StoreN(value, d, y + c, n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(MultiplyRowOf);
HWY_EXPORT(ScaleOneRow);

void MultiplyRow(UkernelData data, const void* a, int k, const RowBlocks& blocks, void* c) {
  HWY_DYNAMIC_DISPATCH(MultiplyRowOf)(data, a, k, blocks, c);
}

void ScaleF16Row(const float* products, const GroupScales& scales, int columns, bool accumulate, float* y) {
  HWY_DYNAMIC_DISPATCH(ScaleOneRow)(products, scales, columns, accumulate, y);
}

}  // namespace attnd
#endif  // HWY_ONCE
