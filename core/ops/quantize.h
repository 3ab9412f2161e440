// Activations as Linear multiplies them in bf16, f16 and int8; as slices: slices.h.
#ifndef ATTND_CORE_OPS_QUANTIZE_H_
#define ATTND_CORE_OPS_QUANTIZE_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace attnd {

// By the range of the values: x ~ offset + scale * q with q in 0..255, offset its least value.
// Columns from `columns` to `stride` become 0.
void QuantizeRow(const float* x /* [columns] */, int columns, int stride, uint8_t* q /* [stride] */, float* scale,
                 float* offset);

// What rows of activations are multiplied as, but for f32.
enum class RowFormat { kU8, kF16, kBf16, kSlices };

// Where rows go, of all but bf16 one range each: as QuantizeRow, ScaleRowToF16, ConvertRowsToBf16 or SliceRow has them.
struct QuantizedTile {
  RowFormat format;
  uint8_t* rows;   // [rows, stride]; of slices as PlaceOfSlices has them
  int64_t stride;  // bytes
  float* scales;   // [rows]; not of bf16
  float* offsets;  // [rows]; of u8 alone
  int height = 0;  // of tiles of slices, which lie stride * height apart
};

// Infinity or NaN where there is one.
float LargestMagnitude(const float* x /* [count] */, int count);

// y = x * by, to nearest, ties to even: weights.
void ScaleToF16(const float* x /* [count] */, int count, float by, uint16_t* y /* [count] */);
void ScaleToS8(const float* x /* [count] */, int count, float by, int8_t* y /* [count] */);

// Weights that a file had in 8 bits or fewer with a scale per kScaledInputs neighbours (GGUF's Q8_0, Q4_0, Q5_0), and
// that are f32 by now: finds both again.
inline constexpr int kScaledInputs = 32;
// Whether x is scale * q exactly; if not, what q and scale are is unspecified.
bool FindScaledBytes(const float* x /* [kScaledInputs] */, int8_t* q /* [kScaledInputs] */, float* scale);

// What f16 is multiplied as: values below 2^kF16RowBits by weights below 1, so that no sum of a group's products leaves
// the range of f16 (65,504). By powers of two, which change no significand.
inline constexpr int kF16GroupInputs = 192;
inline constexpr int kF16RowBits = 8, kF16WeightBits = 0;
struct F16Scale {
  float scale, inverse;  // their product is 1
};
// That brings `largest` to at least 2^(bits - 1), below 2^bits. NaN where it is not finite, which makes products NaN,
// too.
inline F16Scale F16ScaleOf(float largest, int bits) {
  constexpr int kBias = 127, kNotFinite = 255;
  const auto exponent = static_cast<int>(std::bit_cast<uint32_t>(largest) >> 23);
  if (exponent == kNotFinite) return {std::numeric_limits<float>::quiet_NaN(), 1.0f};
  // Both normal numbers: weights of 2^127 are nobody's.
  const int scale = std::clamp(exponent + 1 - bits, 1, 2 * kBias - 1);
  return {std::bit_cast<float>(static_cast<uint32_t>(scale) << 23),
          std::bit_cast<float>(static_cast<uint32_t>(2 * kBias - scale) << 23)};
}

// x ~ scale * y, y in f16. Columns from `columns` to `stride` become 0.
void ScaleRowToF16(const float* x /* [columns] */, int columns, int stride, uint16_t* y /* [stride] */, float* scale);

// Rounded to nearest, ties to even, alike on every CPU. Columns from `columns` to `stride` become 0.
void ConvertRowsToBf16(const float* x /* [rows, columns] */, int rows, int columns, int stride,
                       uint16_t* y /* [rows, stride] */);
inline uint16_t ToBf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
  return static_cast<uint16_t>((x == x ? rounded : bits | 0x400000) >> 16);
}
inline float FromBf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

}  // namespace attnd

#endif  // ATTND_CORE_OPS_QUANTIZE_H_
