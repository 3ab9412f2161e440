// Activations as Linear multiplies them in bf16 and int8.
#ifndef ATTND_CORE_OPS_QUANTIZE_H_
#define ATTND_CORE_OPS_QUANTIZE_H_

#include <bit>
#include <cstdint>

namespace attnd {

// By the range of the values: x ~ offset + scale * q with q in 0..255, offset its least value.
// Columns from `columns` to `stride` become 0.
void QuantizeRow(const float* x /* [columns] */, int columns, int stride, uint8_t* q /* [stride] */, float* scale,
                 float* offset);

// Where rows of one range each go, as QuantizeRow has them.
struct QuantizedTile {
  uint8_t* rows;  // [rows, stride]
  int64_t stride;
  float* scales;   // [rows]
  float* offsets;  // [rows]
};

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
