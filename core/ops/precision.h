// Precision: in what numbers the linear layers hold their weights and multiply.
#ifndef ATTND_CORE_OPS_PRECISION_H_
#define ATTND_CORE_OPS_PRECISION_H_

#include <optional>
#include <string_view>

namespace attnd {

// kF32:  f32 weights and activations; where there is AMX both as three bytes, 24 bits below their group's largest, but
//        for a decoder's own layers. Within 1.1 of the error that f32's products and sums have, within 2 of it beside
//        values 50 times the others (slices.h, tests/core/ops/slices_test.cc). A decoder's weights stay in memory as
//        their file had them, as far as that changes no value (PackedWeights, `compact`).
// kBf16: weights of 16 bits, of decoders as their file had them, likewise. Bf16 by bf16 where the CPU multiplies it
//        faster than f32 (AMX, AMD's AVX-512 BF16); where it has AVX512-FP16 instead, and for decoders' bytes, f16 by
//        f16, with a scale per output and group of inputs and one per row and group, which keeps three bits more and
//        sums a group in f16; else bf16 by f32. Sums in f32.
// kInt8: weights s8 with a scale per output channel and group of inputs (PackedWeights::group), activations u8 with a
//        scale and an offset per row and group, found as the text runs; sums in s32. Where the CPU has no VNNI the
//        weights of two neighbouring inputs keep within 128 together, as far as they have one sign: the sum of their
//        products would saturate.
// What is not a linear layer (norms, attention), and the head of a task, computes in f32, but for the products of
// attention of long texts below kF32 where there is AMX (AttentionTiles); word vectors are kept in bf16 below kF32.
enum class Precision { kF32, kBf16, kInt8 };

std::string_view PrecisionName(Precision precision);  // "f32", "bf16", "int8"

// The precision called `name`, or none. "auto" is the fastest whose fidelity is that of bf16: bf16, unless tiles of it
// would run untuned (no AMX, no f16, and UkernelBackend() is not "brgemm"), then f32.
std::optional<Precision> ParsePrecision(std::string_view name);

// How `precision` runs on this CPU: "f32", "f32 amx", "bf16", "f16", "f32 x bf16", "bf16 amx", "int8 vnni", "int8
// amx", "int8 quads", "int8 pairs" (products that are added in 16 bits).
std::string_view PrecisionPath(Precision precision);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_PRECISION_H_
