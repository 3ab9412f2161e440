#include "core/ops/block_kernel.h"

#include <algorithm>
#include <utility>

#include "core/base/cpu.h"

// clang-format off: the order of Highway's headers matters
#include "core/ops/targets_with_f16.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/block_kernel.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "core/ops/block_pass-inl.h"
#include "core/ops/products-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How far behind what is multiplied the fetched weights lie, and so how many are on their way; in bytes.
constexpr int kAhead = 36 << 10;
// Bytes of weights that all rows pass over before the next: they stay in L1.
constexpr int kChunkBytes = 36 << 10;
constexpr int kCacheLine = 64;
// From so many rows on bf16 weights are made f32 once for all of them; fewer do it in registers, each for itself.
constexpr int kWidenedRows = 4 * kRowsMax;

// By the kernel of as many rows: 1 to RowsOf the type.
template <class Kernel, int... kRows>
void RunRows(int rows, bool fetch, const Pass& pass, std::integer_sequence<int, kRows...>) {
  static constexpr void (*kRun[][sizeof...(kRows)])(const Pass&) = {{&Kernel::template Run<kRows + 1, false>...},
                                                                    {&Kernel::template Run<kRows + 1, true>...}};
  kRun[fetch ? 1 : 0][rows - 1](pass);
}

// Of a block.
int Columns() { return kVectors * static_cast<int>(hn::Lanes(hn::ScalableTag<float>())); }

template <class Type>
int StepBytes() {
  if constexpr (requires { Type::StepBytes(0); }) {
    return Type::StepBytes(Columns());
  } else {
    return Columns() * Type::kStep * Type::kWeightBytes;
  }
}

// A chunk of some steps of k as f32.
void Widen(Floats<hwy::bfloat16_t>, const std::byte* chunk, int steps, float* HWY_RESTRICT wide) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d)), count = steps * Columns();
  const auto* HWY_RESTRICT from = reinterpret_cast<const hwy::bfloat16_t*>(chunk);
  for (int i = 0; i < count; i += lanes) hn::Store(LoadFloats(d, from + i), d, wide + i);
}

// A chunk of such bytes as f32 or, where that is their kind, as F16Pairs.
template <typename T>
void Widen(ScaledRuns<T>, const std::byte* chunk, int steps, float* HWY_RESTRICT wide) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  constexpr int kRunSteps = kScaledInputs / ScaledRuns<T>::kStep;
  auto* HWY_RESTRICT to = reinterpret_cast<T*>(wide);
  for (int s = 0; s < steps; s += kRunSteps) {
    const auto* scales = reinterpret_cast<const T*>(chunk);
    const auto first = hn::LoadU(d, scales), second = hn::LoadU(d, scales + lanes);
    const auto last = hn::LoadU(d, scales + (kVectors - 1) * lanes);
    chunk += kVectors * lanes * sizeof(T);
    for (int i = 0; i < kRunSteps; ++i, chunk += kVectors * lanes, to += kVectors * lanes) {
      hn::Store(hn::Mul(ScaledRuns<T>::Load(d, chunk), first), d, to);
      hn::Store(hn::Mul(ScaledRuns<T>::Load(d, chunk + lanes), second), d, to + lanes);
      if constexpr (kVectors == 3) {
        hn::Store(hn::Mul(ScaledRuns<T>::Load(d, chunk + 2 * lanes), last), d, to + 2 * lanes);
      }
    }
  }
}

// Chunk after chunk of k, all rows over each. `scales`: null where sums are floats. The weights are of Type, and may be
// narrower than what Kernel multiplies.
template <class Type, class Kernel>
void MultiplyChunks(const BlockRows& rows, const BlockWeights& weights, const GroupScales* scales, float* c,
                    int64_t stride) {
  const int step_bytes = StepBytes<Type>();  // of weights
  using Multiplied = typename Kernel::Multiplied;
  constexpr int kRows = RowsOf<Multiplied>();
  const int passes = hwy::DivCeil(rows.count, kRows);
  const int pass_rows = rows.count / passes, longer_passes = rows.count % passes;  // which have a row more
  // A group's sums are scaled when it is complete.
  const int groups = scales == nullptr ? 1 : scales->groups;
  const int group_steps = weights.k / Type::kStep;
  constexpr bool kWidened = !hwy::IsSame<Multiplied, Type>();
  // On the stack, for thread_local memory is part of every thread's: civetweb's have 100 KB in all.
  alignas(64) float wide[kWidened ? kChunkBytes / sizeof(float) : 1];
  const int multiplied_bytes = StepBytes<Multiplied>();
  if constexpr (hwy::IsSame<Type, ScaledBytes>()) HWY_DASSERT(kChunkBytes / multiplied_bytes % kScaledInputs == 0);
  const int chunk_steps = scales == nullptr ? kChunkBytes / multiplied_bytes / kUnrolled * kUnrolled : group_steps;
  for (int g = 0; g < groups; ++g) {
    for (int begin = 0; begin < group_steps; begin += chunk_steps) {
      const int steps = std::min(chunk_steps, group_steps - begin);
      const int64_t offset = int64_t{g} * group_steps + begin;  // in steps
      const std::byte* b = weights.first + offset * step_bytes;
      const std::byte* multiplied = b;
      if constexpr (kWidened) {
        Widen(Type(), b, steps, wide);
        multiplied = reinterpret_cast<const std::byte*>(wide);
      }
      // As many bytes as the chunk has, if there are passes for them.
      const int fetch_stride = std::min(step_bytes, kCacheLine);
      const int fetching = weights.fetch ? hwy::DivCeil(step_bytes, kCacheLine) : 0;  // passes
      Pass pass = {.a = rows.first + offset * Type::kStep * Type::kActivationBytes,
                   .row_stride = rows.stride,
                   .b = multiplied,
                   .steps = steps,
                   .fetch = {b + kAhead, fetch_stride},
                   .first = offset == 0,
                   .c = c,
                   .stride = stride};
      if (scales != nullptr) {
        pass.row_scales = scales->row_scales + g * scales->row_stride;
        pass.weight_scales = scales->weight_scales + g * scales->column_stride;
        if (scales->row_offsets != nullptr) {
          pass.row_offsets = scales->row_offsets + g * scales->row_stride;
          pass.weight_sums = scales->weight_sums + g * scales->column_stride;
        }
      }
      for (int p = 0; p < passes; ++p) {
        const int count = pass_rows + (p < longer_passes ? 1 : 0);
        RunRows<Kernel>(count, p < fetching, pass, std::make_integer_sequence<int, kRows>());
        pass.a += count * rows.stride;
        pass.fetch.first += int64_t{steps} * fetch_stride;
        pass.c += count * stride;
        if (pass.row_scales != nullptr) pass.row_scales += count;
        if (pass.row_offsets != nullptr) pass.row_offsets += count;
      }
    }
  }
}

void MultiplyFloats(UkernelData data, const BlockRows& rows, const BlockWeights& weights, float* c, int64_t stride) {
  using F32 = Floats<float>;
  using Bf16 = Floats<hwy::bfloat16_t>;
  if (data == UkernelData::kF32) {
    MultiplyChunks<F32, ToFloats<F32>>(rows, weights, nullptr, c, stride);
  } else if (data == UkernelData::kF32S8) {
    MultiplyChunks<ScaledBytes, ToFloats<F32>>(rows, weights, nullptr, c, stride);
  } else if (rows.count < kWidenedRows) {
    MultiplyChunks<Bf16, ToFloats<Bf16>>(rows, weights, nullptr, c, stride);
  } else {
    MultiplyChunks<Bf16, ToFloats<F32>>(rows, weights, nullptr, c, stride);
  }
}

void MultiplyScaled(UkernelData data, const BlockRows& rows, const BlockWeights& weights, const GroupScales& scales,
                    float* c, int64_t stride) {
  if (data == UkernelData::kF16 || data == UkernelData::kF16S8) {
#if HWY_HAVE_FLOAT16
    return data == UkernelData::kF16 ? MultiplyChunks<F16Pairs, ToScaled<F16Pairs>>(rows, weights, &scales, c, stride)
                                     : MultiplyChunks<F16Bytes, ToScaled<F16Pairs>>(rows, weights, &scales, c, stride);
#else
    HWY_ABORT("no f16 on this target: HasF16Kernel()");
#endif
  }
  if (weights.quads) return MultiplyChunks<ByteQuads, ToScaled<ByteQuads>>(rows, weights, &scales, c, stride);
  using Quads = Bytes</*kPairs=*/false>;
  MultiplyChunks<Quads, ToScaled<Quads>>(rows, weights, &scales, c, stride);
}

bool MultipliesF16() { return HWY_HAVE_FLOAT16 != 0; }

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(MultiplyFloats);
HWY_EXPORT(MultiplyScaled);
HWY_EXPORT(MultipliesF16);
HWY_EXPORT(Columns);

int BlockKernelColumns() { return HWY_DYNAMIC_DISPATCH(Columns)(); }

bool HasF16Kernel() { return CpuHasF16() && !MatmulIsForced() && HWY_DYNAMIC_DISPATCH(MultipliesF16)(); }

bool HasBlockKernel(UkernelData data, int columns, int k) {
  if (columns != BlockKernelColumns() || k % (kBlockKernelSteps * UkernelInterleave(data)) != 0) return false;
  if (data == UkernelData::kF16) return HasF16Kernel() && k <= kF16GroupInputs;
  if (data == UkernelData::kF16S8) return HasF16Kernel() && k <= kF16GroupInputs && k % kScaledInputs == 0;
  if (!CpuIsIntel() || GetCpuPath() == CpuPath::kBaseline || MatmulIsForced()) return false;
  switch (data) {
    case UkernelData::kF32:
    case UkernelData::kF32Bf16:
      return true;
    case UkernelData::kF32S8:
      return k % kScaledInputs == 0;
    case UkernelData::kU8S8:
      return GetCpuPath() == CpuPath::kAvx512 && CpuHasVnni();
    case UkernelData::kBf16:
    case UkernelData::kF16:
    case UkernelData::kF16S8:
    case UkernelData::kF32Slices:
      break;
  }
  return false;
}

bool HasQuadKernel() { return GetCpuPath() == CpuPath::kAvx2 && !CpuHasVnni() && !MatmulIsForced(); }

void MultiplyFloatBlock(UkernelData data, const BlockRows& rows, const BlockWeights& weights, float* c,
                        int64_t stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyFloats)(data, rows, weights, c, stride);
}

void MultiplyScaledBlock(UkernelData data, const BlockRows& rows, const BlockWeights& weights,
                         const GroupScales& scales, float* c, int64_t stride) {
  HWY_DYNAMIC_DISPATCH(MultiplyScaled)(data, rows, weights, scales, c, stride);
}

}  // namespace attnd
#endif  // HWY_ONCE
