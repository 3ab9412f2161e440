#include "core/weights/dtype.h"

#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>

namespace attnd {
namespace {

static_assert(std::endian::native == std::endian::little, "weights are stored little-endian and read as they are");

struct Entry {
  DType dtype;
  std::string_view name;
  int size;
};
constexpr Entry kEntries[] = {
    {DType::kF64, "F64", 8},   {DType::kF32, "F32", 4},        {DType::kF16, "F16", 2},
    {DType::kBF16, "BF16", 2}, {DType::kF8E4M3, "F8_E4M3", 1}, {DType::kF8E5M2, "F8_E5M2", 1},
    {DType::kI64, "I64", 8},   {DType::kI32, "I32", 4},        {DType::kI16, "I16", 2},
    {DType::kI8, "I8", 1},     {DType::kU64, "U64", 8},        {DType::kU32, "U32", 4},
    {DType::kU16, "U16", 2},   {DType::kU8, "U8", 1},          {DType::kBool, "BOOL", 1},
};

const Entry& EntryOf(DType dtype) {
  const Entry& entry = kEntries[static_cast<int>(dtype)];
  assert(entry.dtype == dtype);
  return entry;
}

template <typename T>
T LoadAt(const std::byte* from, size_t index) {
  T value;
  std::memcpy(&value, from + index * sizeof(T), sizeof(T));
  return value;
}

float FromBF16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Shifting the exponent into place and multiplying by 2^112 is exact, subnormals included; infinities and NaNs keep
// theirs.
float FromF16(uint16_t bits) {
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7fff) << 13;
  uint32_t result = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  if (magnitude >= 0x7c00u << 13) result = magnitude | 0x7f800000u;
  return std::bit_cast<float>(result | static_cast<uint32_t>(bits & 0x8000) << 16);
}

}  // namespace

int DTypeSize(DType dtype) { return EntryOf(dtype).size; }

std::string_view DTypeName(DType dtype) { return EntryOf(dtype).name; }

std::optional<DType> DTypeFromName(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return entry.dtype;
  }
  return std::nullopt;
}

bool ConvertsToF32(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

void ConvertToF32(DType dtype, const std::byte* from, size_t count, float* to) {
  assert(ConvertsToF32(dtype));
  switch (dtype) {
    case DType::kF32:
      std::memcpy(to, from, count * sizeof(float));
      break;
    case DType::kF16:
      for (size_t i = 0; i < count; ++i) to[i] = FromF16(LoadAt<uint16_t>(from, i));
      break;
    case DType::kBF16:
      for (size_t i = 0; i < count; ++i) to[i] = FromBF16(LoadAt<uint16_t>(from, i));
      break;
    case DType::kF64:
      for (size_t i = 0; i < count; ++i) to[i] = static_cast<float>(LoadAt<double>(from, i));
      break;
    default:
      break;
  }
}

}  // namespace attnd
