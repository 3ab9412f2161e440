// Any bytes as a .gguf file. What is accepted must keep the format's rules and be readable whole.
#include <cstdint>
#include <cstdlib>

#include "core/weights/gguf.h"

namespace attnd {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void FuzzFile(const uint8_t* input, size_t size) {
  auto file = GgufFile::Parse(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(input), size), "fuzz");
  if (!file.ok()) {
    Check(file.status().message().size() < 1000);
    return;
  }
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : (*file)->tensors()) {
    Check(tensor.offset <= size && tensor.bytes <= size - tensor.offset);
    int64_t elements = 1;
    for (const int64_t extent : tensor.shape) elements *= extent;  // checked: bounded by the file's size
    Check(elements == tensor.elements());
    bytes += tensor.bytes;
    auto floats = (*file)->ReadF32(name, tensor.shape);
    Check(floats.ok() && static_cast<int64_t>(floats->size()) == elements);
  }
  Check(bytes <= size);
  for (const char* key : {"general.alignment", "general.architecture", "tokenizer.ggml.tokens"}) {
    (void)(*file)->metadata().Int(key, 0, 10, 0);
    (void)(*file)->metadata().String(key, "");
    (void)(*file)->metadata().Strings(key);
  }
}

}  // namespace
}  // namespace attnd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  attnd::FuzzFile(input, size);
  return 0;
}
