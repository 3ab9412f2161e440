// Layouts: the block_* structures of ggml-common.h. A block is its f16 scales and minima, then its quants; `q` of
// element i of a 32-block is the low nibble of byte i (i < 16) or the high nibble of byte i - 16.
#include "core/weights/ggml_type.h"

#include <cstring>

#include "core/weights/dtype.h"

namespace attnd {
namespace {

constexpr int kSmallBlock = 32;
constexpr int kSuperBlock = 256;

uint8_t Byte(const std::byte* from, size_t i) { return static_cast<uint8_t>(from[i]); }

float Half(const std::byte* from) {
  float value;
  ConvertToF32(DType::kF16, from, 1, &value);
  return value;
}

void F32(const std::byte* from, size_t count, float* to) { ConvertToF32(DType::kF32, from, count, to); }
void F16(const std::byte* from, size_t count, float* to) { ConvertToF32(DType::kF16, from, count, to); }
void BF16(const std::byte* from, size_t count, float* to) { ConvertToF32(DType::kBF16, from, count, to); }

int Nibble(const std::byte* quants, int i) { return i < 16 ? Byte(quants, i) & 15 : Byte(quants, i - 16) >> 4; }
int FifthBit(const std::byte* bits, int i) { return (Byte(bits, i / 8) >> (i % 8) & 1) << 4; }

void Q4_0(const std::byte* from, size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 18, to += kSmallBlock) {
    const float d = Half(from);
    for (int i = 0; i < kSmallBlock; ++i) to[i] = d * static_cast<float>(Nibble(from + 2, i) - 8);
  }
}

void Q4_1(const std::byte* from, size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 20, to += kSmallBlock) {
    const float d = Half(from), m = Half(from + 2);
    for (int i = 0; i < kSmallBlock; ++i) to[i] = d * static_cast<float>(Nibble(from + 4, i)) + m;
  }
}

void Q5_0(const std::byte* from, size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 22, to += kSmallBlock) {
    const float d = Half(from);
    for (int i = 0; i < kSmallBlock; ++i) {
      to[i] = d * static_cast<float>((Nibble(from + 6, i) | FifthBit(from + 2, i)) - 16);
    }
  }
}

void Q5_1(const std::byte* from, size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 24, to += kSmallBlock) {
    const float d = Half(from), m = Half(from + 2);
    for (int i = 0; i < kSmallBlock; ++i) {
      to[i] = d * static_cast<float>(Nibble(from + 8, i) | FifthBit(from + 4, i)) + m;
    }
  }
}

void Q8_0(const std::byte* from, size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 34, to += kSmallBlock) {
    const float d = Half(from);
    for (int i = 0; i < kSmallBlock; ++i) to[i] = d * static_cast<float>(static_cast<int8_t>(Byte(from, 2 + i)));
  }
}

struct ScaleAndMin {
  float scale, min;
};

// Sub-block j of 8: 6 bits each for scale and minimum, packed into 12 bytes.
ScaleAndMin KScale(const std::byte* from, int j) {
  const std::byte* packed = from + 4;
  int scale, min;
  if (j < 4) {
    scale = Byte(packed, j) & 63;
    min = Byte(packed, j + 4) & 63;
  } else {
    scale = (Byte(packed, j + 4) & 15) | (Byte(packed, j - 4) >> 6) << 4;
    min = Byte(packed, j + 4) >> 4 | (Byte(packed, j) >> 6) << 4;
  }
  return {Half(from) * static_cast<float>(scale), Half(from + 2) * static_cast<float>(min)};
}

// Sub-blocks 2j and 2j + 1 are the low and the high nibbles of 32 bytes.
void Q4_K(const std::byte* from, size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 144, to += kSuperBlock) {
    for (int j = 0; j < 8; ++j) {
      const ScaleAndMin s = KScale(from, j);
      const std::byte* quants = from + 16 + j / 2 * 32;
      for (int i = 0; i < 32; ++i) {
        const int q = j % 2 == 0 ? Byte(quants, i) & 15 : Byte(quants, i) >> 4;
        to[j * 32 + i] = s.scale * static_cast<float>(q) - s.min;
      }
    }
  }
}

// As Q4_K, with bit j of byte i of 32 as the fifth bit.
void Q5_K(const std::byte* from, size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 176, to += kSuperBlock) {
    const std::byte* high = from + 16;
    for (int j = 0; j < 8; ++j) {
      const ScaleAndMin s = KScale(from, j);
      const std::byte* quants = from + 48 + j / 2 * 32;
      for (int i = 0; i < 32; ++i) {
        const int low = j % 2 == 0 ? Byte(quants, i) & 15 : Byte(quants, i) >> 4;
        to[j * 32 + i] = s.scale * static_cast<float>(low | (Byte(high, i) >> j & 1) << 4) - s.min;
      }
    }
  }
}

// Two halves of 128: 64 bytes of low nibbles, 32 bytes of two high bits, 8 scales of 16 elements each.
void Q6_K(const std::byte* from, size_t blocks, float* to) {
  for (; blocks > 0; --blocks, from += 210) {
    const float d = Half(from + 208);
    for (int half = 0; half < 2; ++half, to += 128) {
      const std::byte* low = from + half * 64;
      const std::byte* high = from + 128 + half * 32;
      const std::byte* scales = from + 192 + half * 8;
      for (int i = 0; i < 128; ++i) {
        const int row = i / 32;  // which of the four bit pairs of its high byte
        const uint8_t byte = Byte(low, i % 64);
        const int q = (row < 2 ? byte & 15 : byte >> 4) | (Byte(high, i % 32) >> (2 * row) & 3) << 4;
        const float scale = d * static_cast<float>(static_cast<int8_t>(Byte(scales, i / 16)));
        to[i] = scale * static_cast<float>(q - 32);
      }
    }
  }
}

constexpr GgmlType kTypes[] = {
    {0, "F32", 1, 4, F32},
    {1, "F16", 1, 2, F16},
    {2, "Q4_0", kSmallBlock, 18, Q4_0},
    {3, "Q4_1", kSmallBlock, 20, Q4_1},
    {6, "Q5_0", kSmallBlock, 22, Q5_0},
    {7, "Q5_1", kSmallBlock, 24, Q5_1},
    {8, "Q8_0", kSmallBlock, 34, Q8_0},
    {12, "Q4_K", kSuperBlock, 144, Q4_K},
    {13, "Q5_K", kSuperBlock, 176, Q5_K},
    {14, "Q6_K", kSuperBlock, 210, Q6_K},
    {30, "BF16", 1, 2, BF16},
};

}  // namespace

const GgmlType* FindGgmlType(uint32_t id) {
  for (const GgmlType& type : kTypes) {
    if (type.id == id) return &type;
  }
  return nullptr;
}

std::string_view GgmlTypeNames() { return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K"; }

}  // namespace attnd
