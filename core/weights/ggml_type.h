// GgmlType: the element types of GGUF tensors, most of them blocks of quantised values, and their conversion to f32.
#ifndef ATTND_CORE_WEIGHTS_GGML_TYPE_H_
#define ATTND_CORE_WEIGHTS_GGML_TYPE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace attnd {

struct GgmlType {
  uint32_t id;  // as the file stores it
  std::string_view name;
  int block_elements;  // elements that share their scales; a row is whole blocks
  int block_bytes;
  // Writes blocks * block_elements floats; `from` may be unaligned.
  void (*to_f32)(const std::byte* from, size_t blocks, float* to);
};

// Null when attnd does not read the type.
const GgmlType* FindGgmlType(uint32_t id);
// "F32, F16, ...": for errors.
std::string_view GgmlTypeNames();

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_GGML_TYPE_H_
