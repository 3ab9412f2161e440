// SafetensorsFile: a .safetensors file, mapped read-only and checked whole before anything is used.
// Format: https://github.com/huggingface/safetensors#format
#ifndef ATTND_CORE_WEIGHTS_SAFETENSORS_H_
#define ATTND_CORE_WEIGHTS_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace attnd {

enum class DType { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool };
int DTypeSize(DType dtype);               // bytes of one element
std::string_view DTypeName(DType dtype);  // as the file spells it: "F32"

// A tensor inside the mapping; valid while its SafetensorsFile lives. Data may be unaligned.
struct TensorView {
  DType dtype;
  std::vector<int64_t> shape;
  absl::Span<const std::byte> data;

  int64_t elements() const;
};

// Immutable after Open.
class SafetensorsFile {
 public:
  // Maps the file. kNotFound, or kInvalidArgument naming the file and the fault: every rule of the format is checked from
  // the header and the file's size, before any allocation that the file's own numbers would size.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  // The same checks on bytes in memory (tests, fuzzing); `bytes` must outlive the result. `name` goes into errors.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Parse(absl::Span<const std::byte> bytes, std::string name);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const TensorView* Find(std::string_view name) const;  // null when absent
  const absl::flat_hash_map<std::string, TensorView>& tensors() const { return tensors_; }
  const std::string& name() const { return name_; }

  // The tensor as f32 (F32, F16 and BF16 convert), its shape checked: an entry of -1 in `shape` matches any extent.
  // kInvalidArgument names the file, the tensor and both shapes.
  absl::StatusOr<std::vector<float>> ReadF32(std::string_view name, absl::Span<const int64_t> shape) const;

 private:
  SafetensorsFile() = default;
  std::string name_;
  void* mapping_ = nullptr;  // owned when not null
  size_t mapping_bytes_ = 0;
  absl::flat_hash_map<std::string, TensorView> tensors_;
};

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_SAFETENSORS_H_
