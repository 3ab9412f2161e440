// DType: the element types of stored tensors, and their conversion to f32.
#ifndef ATTND_CORE_WEIGHTS_DTYPE_H_
#define ATTND_CORE_WEIGHTS_DTYPE_H_

#include <cstddef>
#include <optional>
#include <string_view>

namespace attnd {

enum class DType { kF64, kF32, kF16, kBF16, kF8E4M3, kF8E5M2, kI64, kI32, kI16, kI8, kU64, kU32, kU16, kU8, kBool };
int DTypeSize(DType dtype);               // bytes of one element
std::string_view DTypeName(DType dtype);  // as the file spells it: "F32"
std::optional<DType> DTypeFromName(std::string_view name);

// Elements that readers of files convert at a time, so that what is read and what is written stay in L2.
inline constexpr size_t kConvertedAtOnce = 1 << 14;

bool ConvertsToF32(DType dtype);  // F64, F32, F16, BF16
// Converts `count` little-endian elements at `from` (may be unaligned). Requires ConvertsToF32(dtype).
void ConvertToF32(DType dtype, const std::byte* from, size_t count, float* to);

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_DTYPE_H_
