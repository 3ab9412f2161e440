// How the types of UkernelData multiply, for the Highway files of this folder.
#if defined(ATTND_CORE_OPS_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef ATTND_CORE_OPS_PRODUCTS_INL_H_
#undef ATTND_CORE_OPS_PRODUCTS_INL_H_
#else
#define ATTND_CORE_OPS_PRODUCTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/ops/quantize.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {

// For the compiler, as if the value changed here. g++ 14 else makes the conversion of a sum that follows the loop part
// of it, or adds integers in another order, and every round of the loop writes all sums to the stack.
template <class V>
HWY_INLINE void KeepInRegister(V& value) {
#if HWY_ARCH_X86 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
  asm("" : "+v"(value.raw));
#else
  (void)value;
#endif
}

// sum += a * b of f32, in the sum's own register. g++ 14 else has some sums in those of a and moves them back, and a
// loop that is as wide as the CPU takes instructions is a few per cent longer for it.
template <class V>
HWY_INLINE void MulAddInPlace(V a, V b, V& sum) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
#else
  sum = hwy::HWY_NAMESPACE::MulAdd(a, b, sum);
#endif
}

// sum += the products of four neighbours. kPairs: those of two fit 16 bits, which takes half the instructions.
template <bool kPairs, class D, class V = hwy::HWY_NAMESPACE::Vec<D>>
HWY_INLINE V AddQuads(D d, hwy::HWY_NAMESPACE::Vec<hwy::HWY_NAMESPACE::Repartition<uint8_t, D>> a,
                      hwy::HWY_NAMESPACE::Vec<hwy::HWY_NAMESPACE::Repartition<int8_t, D>> b, V sum) {
  namespace hn = hwy::HWY_NAMESPACE;
  if constexpr (kPairs) {
    const hn::Repartition<int16_t, D> d16;
    return hn::Add(sum, hn::WidenMulPairwiseAdd(d, hn::SatWidenMulPairwiseAdd(d16, a, b), hn::Set(d16, 1)));
  } else {
    return hn::SumOfMulQuadAccumulate(d, a, b, sum);
  }
}

// Each type has: the sum's type as it is stored; kStep, neighbours of k that are multiplied at once; the bytes of a
// value of either side; Zero, an empty sum; Row, those neighbours of a row in every lane; Weights, a vector of columns
// by kStep; Add, sum += their product; Stored, what a sum comes to; kOffsets, whether scaled rows have an offset. D is
// that of a vector of the sum's type. ScaledBytes and F16Bytes are only loaded.

// A vector of sums that are stored as they are.
struct PlainSums {
  template <class D>
  static HWY_INLINE auto Zero(D d) {
    return hwy::HWY_NAMESPACE::Zero(d);
  }
  template <class D, class V>
  static HWY_INLINE V Stored(D, V sum) {
    return sum;
  }
};

// u8 by s8.
template <bool kPairs>
struct Bytes : PlainSums {
  using Sum = int32_t;
  static constexpr int kStep = 4, kActivationBytes = 1, kWeightBytes = 1;
  static constexpr bool kOffsets = true;
  template <class D>
  static HWY_INLINE auto Row(D d, const std::byte* a) {
    namespace hn = hwy::HWY_NAMESPACE;
    int32_t quad;
    std::memcpy(&quad, a, sizeof(quad));
    return hn::BitCast(hn::Repartition<uint8_t, D>(), hn::Set(d, quad));
  }
  template <class D>
  static HWY_INLINE auto Weights(D, const std::byte* b) {
    namespace hn = hwy::HWY_NAMESPACE;
    return hn::LoadU(hn::Repartition<int8_t, D>(), reinterpret_cast<const int8_t*>(b));
  }
  template <class D, class Row, class Weights>
  static HWY_INLINE auto Add(D d, Row row, Weights weights, hwy::HWY_NAMESPACE::Vec<D> sum) {
    return AddQuads<kPairs>(d, row, weights, sum);
  }
};

// u8 by s8 of two steps, whose pairs of products fit 16 bits together, too: the sums of 16 bits are made 32 once for
// both, three multiplications for what else takes four. Weights are loaded side by side: kSteps of them.
struct ByteQuads : PlainSums {
  using Sum = int32_t;
  static constexpr int kStep = 8, kActivationBytes = 1, kWeightBytes = 1;
  static constexpr bool kOffsets = true;
  template <class D>
  struct Steps {
    hwy::HWY_NAMESPACE::Vec<D> first, second;
  };
  template <class D>
  static HWY_INLINE auto Row(D d, const std::byte* a) {
    using One = Bytes<true>;
    return Steps<hwy::HWY_NAMESPACE::Repartition<uint8_t, D>>{One::Row(d, a), One::Row(d, a + One::kStep)};
  }
  // `stride`: bytes from a step to the next.
  template <class D>
  static HWY_INLINE auto Weights(D d, const std::byte* b, int64_t stride) {
    using One = Bytes<true>;
    return Steps<hwy::HWY_NAMESPACE::Repartition<int8_t, D>>{One::Weights(d, b), One::Weights(d, b + stride)};
  }
  template <class D, class Row, class Weights>
  static HWY_INLINE auto Add(D d, const Row& row, const Weights& weights, hwy::HWY_NAMESPACE::Vec<D> sum) {
    namespace hn = hwy::HWY_NAMESPACE;
    const hn::Repartition<int16_t, D> d16;
    const auto pairs = hn::Add(hn::SatWidenMulPairwiseAdd(d16, row.first, weights.first),
                               hn::SatWidenMulPairwiseAdd(d16, row.second, weights.second));
    sum = hn::Add(sum, hn::WidenMulPairwiseAdd(d, pairs, hn::Set(d16, 1)));
    KeepInRegister(sum);
    return sum;
  }
};

// Values of 16 bits whose neighbours of k lie side by side.
template <typename T>
struct Pairs {
  using Sum = float;
  static constexpr int kStep = 2, kActivationBytes = 2, kWeightBytes = 2;
  template <class D>
  static HWY_INLINE auto Row(D, const std::byte* a) {
    namespace hn = hwy::HWY_NAMESPACE;
    int32_t pair;
    std::memcpy(&pair, a, sizeof(pair));
    return hn::BitCast(hn::Repartition<T, D>(), hn::Set(hn::Repartition<int32_t, D>(), pair));
  }
  template <class D>
  static HWY_INLINE auto Weights(D, const std::byte* b) {
    namespace hn = hwy::HWY_NAMESPACE;
    return hn::LoadU(hn::Repartition<T, D>(), reinterpret_cast<const T*>(b));
  }
};

// bf16 by bf16: as their f32 halves, for memory is slower than either.
struct Halves : PlainSums, Pairs<hwy::bfloat16_t> {
  template <class D, class Row, class Weights>
  static HWY_INLINE auto Add(D d, Row row, Weights weights, hwy::HWY_NAMESPACE::Vec<D> sum) {
    namespace hn = hwy::HWY_NAMESPACE;
    sum = hn::MulAdd(hn::PromoteEvenTo(d, row), hn::PromoteEvenTo(d, weights), sum);
    return hn::MulAdd(hn::PromoteOddTo(d, row), hn::PromoteOddTo(d, weights), sum);
  }
};

template <class D>
HWY_INLINE auto LoadFloats(D d, const float* from) {
  return hwy::HWY_NAMESPACE::LoadU(d, from);
}
template <class D>
HWY_INLINE auto LoadFloats(D d, const hwy::bfloat16_t* from) {
  namespace hn = hwy::HWY_NAMESPACE;
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), from));
}

// T by s8 that are made T before: [k / kScaledInputs] of T scales of a block's columns, each as often as there are
// neighbours of k in a vector's lane (f32: once, f16: twice), then kScaledInputs of k by them.
template <typename T>
struct ScaledRuns {
  using Value = T;
  static constexpr int kStep = sizeof(float) / sizeof(T), kActivationBytes = sizeof(T);
  static constexpr int StepBytes(int columns) {  // of weights, scales included
    return kStep * (columns + columns * static_cast<int>(sizeof(float)) / kScaledInputs);
  }
  template <class D>
  static HWY_INLINE auto Load(D d, const std::byte* weights) {
    namespace hn = hwy::HWY_NAMESPACE;
    const auto bytes = hn::LoadU(hn::Rebind<int8_t, D>(), reinterpret_cast<const int8_t*>(weights));
    return hn::ConvertTo(d, hn::PromoteTo(hn::RebindToSigned<D>(), bytes));
  }
};
using ScaledBytes = ScaledRuns<float>;

// f32 by f32 or bf16.
template <typename T>
struct Floats : PlainSums {
  using Sum = float;
  static constexpr int kStep = 1, kActivationBytes = 4, kWeightBytes = sizeof(T);
  template <class D>
  static HWY_INLINE auto Row(D d, const std::byte* a) {
    return hwy::HWY_NAMESPACE::Set(d, *reinterpret_cast<const float*>(a));
  }
  template <class D>
  static HWY_INLINE auto Weights(D d, const std::byte* b) {
    return LoadFloats(d, reinterpret_cast<const T*>(b));
  }
  template <class D, class V>
  static HWY_INLINE auto Add(D, V row, V weights, V sum) {
    MulAddInPlace(row, weights, sum);
    return sum;
  }
};

#if HWY_HAVE_FLOAT16
// f16 by f16: a lane of f32 holds two sums, of even and of odd k.
struct F16Pairs : Pairs<hwy::float16_t> {
  static constexpr bool kOffsets = false;
  template <class D>
  static HWY_INLINE auto Zero(D) {
    namespace hn = hwy::HWY_NAMESPACE;
    return hn::Zero(hn::Repartition<hwy::float16_t, D>());
  }
  template <class D, class V>
  static HWY_INLINE V Add(D, V row, V weights, V sum) {
    return hwy::HWY_NAMESPACE::MulAdd(row, weights, sum);
  }
  // The exponent and mantissa of an f16 where those of an f32 begin are its value by 2^-112. Sums are finite.
  template <class D, class V>
  static HWY_INLINE auto Stored(D d, V sum) {
    namespace hn = hwy::HWY_NAMESPACE;
    const hn::RebindToSigned<D> di;
    const auto bits = hn::BitCast(di, sum);
    const auto places = hn::Set(di, static_cast<int32_t>(0x8fffe000));
    const auto even = hn::And(hn::ShiftRight<3>(hn::ShiftLeft<16>(bits)), places);
    const auto odd = hn::And(hn::ShiftRight<3>(bits), places);
    return hn::Mul(hn::Add(hn::BitCast(d, even), hn::BitCast(d, odd)), hn::Set(d, 0x1p112f));
  }
};

using F16Bytes = ScaledRuns<hwy::float16_t>;
#endif

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
