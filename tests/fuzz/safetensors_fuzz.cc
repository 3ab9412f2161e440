// Any bytes as a .safetensors file. What is accepted must keep the format's rules and be readable whole.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/weights/safetensors.h"
#include "core/weights/safetensors_header.h"

namespace attnd {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckTensors(const absl::flat_hash_map<std::string, TensorInfo>& tensors, uint64_t begin, uint64_t end) {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) {
    Check(tensor.offset >= begin && tensor.offset <= end && tensor.bytes <= end - tensor.offset);
    uint64_t product = DTypeSize(tensor.dtype);
    for (int64_t extent : tensor.shape) {
      Check(extent >= 0 && !__builtin_mul_overflow(product, static_cast<uint64_t>(extent), &product));
    }
    Check(product == tensor.bytes);
    bytes += tensor.bytes;
  }
  Check(bytes == end - begin);
}

// A header alone, of a file that has as many bytes of data as the first eight bytes say.
void FuzzHeader(const uint8_t* input, size_t size) {
  uint64_t data_bytes = 0;
  if (size < sizeof(data_bytes)) return;
  std::memcpy(&data_bytes, input, sizeof(data_bytes));
  data_bytes >>= 1;  // no file is larger than 2^63
  const std::string_view json(reinterpret_cast<const char*>(input) + sizeof(data_bytes), size - sizeof(data_bytes));
  auto tensors = ParseSafetensorsHeader(json, data_bytes);
  if (tensors.ok()) {
    CheckTensors(*tensors, 8 + json.size(), 8 + json.size() + data_bytes);
  } else {
    Check(tensors.status().message().size() < 700);
  }
}

void FuzzFile(const uint8_t* input, size_t size) {
  auto file = SafetensorsFile::Parse(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(input), size), "fuzz");
  if (!file.ok()) return;
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, input, sizeof(header_bytes));
  CheckTensors((*file)->tensors(), 8 + header_bytes, size);
  for (const auto& [name, tensor] : (*file)->tensors()) {
    auto floats = (*file)->ReadF32(name, tensor.shape);
    Check(floats.ok() == ConvertsToF32(tensor.dtype));
    if (floats.ok()) Check(static_cast<int64_t>(floats->size()) == tensor.elements());
  }
}

}  // namespace
}  // namespace attnd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  if (size == 0) return 0;
  if (input[0] & 1) {
    attnd::FuzzFile(input + 1, size - 1);
  } else {
    attnd::FuzzHeader(input + 1, size - 1);
  }
  return 0;
}
