// A pass of BlockKernel: some rows over a chunk of weights, their sums in registers.
#if defined(ATTND_CORE_OPS_BLOCK_PASS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTND_CORE_OPS_BLOCK_PASS_INL_H_
#undef ATTND_CORE_OPS_BLOCK_PASS_INL_H_
#else
#define ATTND_CORE_OPS_BLOCK_PASS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "core/ops/block_kernel.h"
#include "core/ops/products-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows whose sums are in registers at once: 8 by 3 vectors of AVX-512's 32, 6 by 2 of AVX2's 16, as blocks are wide.
#if HWY_TARGET <= HWY_AVX3
constexpr int kRowsMax = 8, kVectors = 3;
#else
constexpr int kRowsMax = 6, kVectors = 2;
#endif
// Those of a type: ByteQuads have twice the weights and rows there, and products in the making.
template <class Type>
constexpr int RowsOf() {
  return hwy::IsSame<Type, ByteQuads>() ? kRowsMax - 2 : kRowsMax;
}

// Steps of k that are unrolled.
constexpr int kUnrolled = kBlockKernelSteps;

// What is fetched in the course of one pass over a chunk: a line a step. More at once would fill the line buffers that
// the loads need, too: eight rows took 5 to 10 % longer with bursts.
struct Fetch {
  const std::byte* first;
  int stride;  // bytes from one step's line to that of the next
};

// Vector v of the columns of a step.
template <class Type, class D>
HWY_INLINE auto ColumnWeights(D d, const std::byte* step, int v) {
  const auto vector = static_cast<int64_t>(hn::Lanes(d)) * Type::kStep * Type::kWeightBytes;
  if constexpr (hwy::IsSame<Type, ByteQuads>()) {
    return Type::Weights(d, step + v * vector / 2, kVectors * vector / 2);
  } else {
    return Type::Weights(d, step + v * vector);
  }
}

// sums += kRows rows by kUnrolled steps of k. kFetches: few passes do, and the others have fewer instructions.
template <class Type, int kRows, bool kFetches, class D, class V>
HWY_INLINE void AddSteps(D d, const std::byte* a, int64_t row_stride, const std::byte* b, const Fetch& fetch,
                         V (&sums)[kRows][kVectors]) {
  const auto vector = static_cast<int64_t>(hn::Lanes(d)) * Type::kStep * Type::kWeightBytes;
  HWY_UNROLL(4)
  for (int s = 0; s < kUnrolled; ++s, a += Type::kStep * Type::kActivationBytes, b += kVectors * vector) {
    if constexpr (kFetches) {
      __builtin_prefetch(fetch.first + s * int64_t{fetch.stride}, /*rw=*/0, /*locality=*/2);
    }
    const auto first = ColumnWeights<Type>(d, b, 0);
    const auto second = ColumnWeights<Type>(d, b, 1);
    const auto last = ColumnWeights<Type>(d, b, kVectors - 1);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      const auto value = Type::Row(d, a + r * row_stride);
      sums[r][0] = Type::Add(d, value, first, sums[r][0]);
      sums[r][1] = Type::Add(d, value, second, sums[r][1]);
      if constexpr (kVectors == 3) sums[r][kVectors - 1] = Type::Add(d, value, last, sums[r][kVectors - 1]);
    }
  }
}

// A pass of some rows over a chunk of weights.
struct Pass {
  const std::byte* a;
  int64_t row_stride;
  const std::byte* b;
  int steps;
  Fetch fetch;
  bool first;  // chunk of k: what c holds is not added to
  float* c;    // [rows, stride]
  int64_t stride;
  // Of scaled sums, from the pass's first row and the chunk's group on.
  const float* row_scales = nullptr;
  const float* row_offsets = nullptr;
  const float* weight_scales = nullptr;
  const float* weight_sums = nullptr;
};

template <class Type, int kRows, bool kFetches, class D, class V>
HWY_INLINE void AddChunk(D d, const Pass& pass, V (&sums)[kRows][kVectors]) {
  const std::byte* a = pass.a;
  const std::byte* b = pass.b;
  Fetch fetch = pass.fetch;
  const int steps = pass.steps;
  const int64_t row_stride = pass.row_stride;
  constexpr int kRowStep = Type::kStep * Type::kActivationBytes;
  const int64_t weight_step = kVectors * static_cast<int64_t>(hn::Lanes(d)) * Type::kStep * Type::kWeightBytes;
  for (int s = 0; s < steps; s += kUnrolled, a += kUnrolled * kRowStep, b += kUnrolled * weight_step) {
    AddSteps<Type, kRows, kFetches>(d, a, row_stride, b, fetch, sums);
    fetch.first += kUnrolled * fetch.stride;
  }
  HWY_UNROLL(8)
  for (int r = 0; r < kRows; ++r) {
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) KeepInRegister(sums[r][v]);
  }
}

template <class Type>
struct ToFloats {
  using Multiplied = Type;
  template <int kRows, bool kFetches>
  static void Run(const Pass& pass) {
    const hn::ScalableTag<float> d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    float* HWY_RESTRICT c = pass.c;
    const int64_t stride = pass.stride;
    const auto add = hn::FirstN(d, pass.first ? 0 : lanes);
    hn::Vec<decltype(d)> sums[kRows][kVectors];
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) sums[r][v] = hn::MaskedLoad(add, d, c + r * stride + v * lanes);
    }
    AddChunk<Type, kRows, kFetches>(d, pass, sums);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) hn::StoreU(sums[r][v], d, c + r * stride + v * lanes);
    }
  }
};

// Sums as floats, which those of f16 are already.
template <class D, class V>
HWY_INLINE hn::Vec<D> AsFloats(D d, V sum) {
  if constexpr (hwy::IsSame<V, hn::Vec<D>>()) {
    return sum;
  } else {
    return hn::ConvertTo(d, sum);
  }
}

template <class Type>
struct ToScaled {
  using Multiplied = Type;
  template <int kRows, bool kFetches>
  static void Run(const Pass& pass) {
    const hn::ScalableTag<float> d;
    const hn::ScalableTag<typename Type::Sum> d_sum;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    decltype(Type::Zero(d_sum)) sums[kRows][kVectors];
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Type::Zero(d_sum);
    }
    AddChunk<Type, kRows, kFetches>(d_sum, pass, sums);
    float* HWY_RESTRICT c = pass.c;
    const float* HWY_RESTRICT row_scales = pass.row_scales;
    const float* HWY_RESTRICT row_offsets = pass.row_offsets;
    const float* HWY_RESTRICT weight_scales = pass.weight_scales;
    const float* HWY_RESTRICT weight_sums = pass.weight_sums;
    const int64_t stride = pass.stride;
    const auto add = hn::FirstN(d, pass.first ? 0 : lanes);
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      const auto weight_scale = hn::LoadU(d, weight_scales + v * lanes);
      const auto weight_sum = Type::kOffsets ? hn::LoadU(d, weight_sums + v * lanes) : hn::Zero(d);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        auto value = hn::MaskedLoad(add, d, c + r * stride + v * lanes);
        const auto sum = hn::Mul(AsFloats(d, Type::Stored(d_sum, sums[r][v])), weight_scale);
        value = hn::MulAdd(sum, hn::Set(d, row_scales[r]), value);
        if constexpr (Type::kOffsets) value = hn::MulAdd(weight_sum, hn::Set(d, row_offsets[r]), value);
        hn::StoreU(value, d, c + r * stride + v * lanes);
      }
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
