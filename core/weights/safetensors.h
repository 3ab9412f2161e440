// SafetensorsFile: a .safetensors file, checked whole before anything is used.
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
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/weights/dtype.h"

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
// Tensors are read by pread, not through a mapping: everything ends up in packed weights anyway, a file that shrinks is
// an error here and not a SIGBUS, and no second copy of the weights counts as resident.
class SafetensorsFile {
 public:
  // Opens the file and reads its header. kNotFound, or kInvalidArgument naming the file and the fault: every rule of
  // the format is checked from the header and the file's size, before any allocation that the file's own numbers would
  // size.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  // The same on bytes in memory (tests, fuzzing); `bytes` must outlive the result. `name` goes into errors.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Parse(absl::Span<const std::byte> bytes, std::string name);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const TensorInfo* Find(std::string_view name) const;  // null when absent
  const absl::flat_hash_map<std::string, TensorInfo>& tensors() const { return tensors_; }
  const std::string& name() const { return name_; }

  // The tensor as f32 (F64, F32, F16 and BF16 convert), its shape checked first: an entry of -1 in `shape` matches any
  // extent. kInvalidArgument names the file, the tensor and both shapes; kAborted: the file changed since Open.
  absl::StatusOr<std::vector<float>> ReadF32(std::string_view name, absl::Span<const int64_t> shape) const;
  // The same for an I32 tensor.
  absl::StatusOr<std::vector<int32_t>> ReadI32(std::string_view name, absl::Span<const int64_t> shape) const;

 private:
  struct Stamp {  // what tells that the file is still the one that was checked
    int64_t bytes = 0;
    int64_t modified_ns = 0;
    bool operator==(const Stamp&) const = default;
  };

  SafetensorsFile() = default;
  static absl::StatusOr<Stamp> StampOf(int fd, const std::string& name);
  absl::Status ReadHeader(uint64_t file_bytes);
  absl::StatusOr<const TensorInfo*> FindChecked(std::string_view name, absl::Span<const int64_t> shape) const;
  absl::Status ReadAt(uint64_t offset, void* to, size_t bytes) const;
  absl::Status CheckUnchanged() const;

  std::string name_;
  int fd_ = -1;  // owned when not -1
  Stamp stamp_;
  absl::Span<const std::byte> memory_;  // used where fd_ is -1
  absl::flat_hash_map<std::string, TensorInfo> tensors_;
};

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_SAFETENSORS_H_
