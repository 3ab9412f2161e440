// SafetensorsFile: a .safetensors file, checked whole before anything is used.
// Format: https://github.com/huggingface/safetensors#format
#ifndef ATTND_CORE_WEIGHTS_SAFETENSORS_H_
#define ATTND_CORE_WEIGHTS_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/weights/checked_file.h"
#include "core/weights/dtype.h"
#include "core/weights/tensor_source.h"

namespace attnd {

// Where a tensor lies: `bytes` from `offset` of the file.
struct TensorInfo {
  DType dtype;
  std::vector<int64_t> shape;
  uint64_t offset;
  uint64_t bytes;

  int64_t elements() const { return static_cast<int64_t>(bytes) / DTypeSize(dtype); }
};

// Immutable after Open; any number of threads may read at once.
class SafetensorsFile final : public TensorSource {
 public:
  // Opens the file and reads its header. kNotFound, or kInvalidArgument naming the file and the fault: every rule of
  // the format is checked from the header and the file's size, before any allocation that the file's own numbers would
  // size.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  // The same on bytes in memory (tests, fuzzing); `bytes` must outlive the result. `name` goes into errors.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Parse(absl::Span<const std::byte> bytes, std::string name);

  const TensorInfo* Find(std::string_view name) const;  // null when absent
  const absl::flat_hash_map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const std::string& name() const override { return file_.name(); }
  bool Contains(std::string_view tensor) const override { return Find(tensor) != nullptr; }

  // F64, F32, F16 and BF16 convert.
  absl::StatusOr<std::vector<float>> ReadF32(std::string_view name, absl::Span<const int64_t> shape) const override;

 private:
  explicit SafetensorsFile(CheckedFile file) : file_(std::move(file)) {}
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> FromFile(CheckedFile file);
  absl::Status ReadHeader();
  absl::StatusOr<const TensorInfo*> FindChecked(std::string_view name, absl::Span<const int64_t> shape) const;

  const CheckedFile file_;
  absl::flat_hash_map<std::string, TensorInfo> tensors_;
};

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_SAFETENSORS_H_
