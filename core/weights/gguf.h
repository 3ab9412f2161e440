// GgufFile: a .gguf file (llama.cpp's format), checked whole before anything is used.
#ifndef ATTND_CORE_WEIGHTS_GGUF_H_
#define ATTND_CORE_WEIGHTS_GGUF_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/weights/checked_file.h"
#include "core/weights/gguf_header.h"
#include "core/weights/gguf_metadata.h"
#include "core/weights/tensor_source.h"

namespace attnd {

// Immutable after Open; any number of threads may read at once. Tensors have the file's own names
// ("blk.0.attn_q.weight").
class GgufFile final : public TensorSource {
 public:
  // kNotFound, or kInvalidArgument naming the file and the fault.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Open(const std::string& path);
  // The same on bytes in memory (tests, fuzzing); `bytes` must outlive the result. `name` goes into errors.
  static absl::StatusOr<std::unique_ptr<GgufFile>> Parse(absl::Span<const std::byte> bytes, std::string name);

  const std::string& name() const override { return file_.name(); }
  bool Contains(std::string_view tensor) const override { return Find(tensor) != nullptr; }
  // Every type converts (ggml_type.h).
  absl::StatusOr<std::vector<float>> ReadF32(std::string_view tensor, absl::Span<const int64_t> shape) const override;

  const GgufMetadata& metadata() const { return header_.metadata; }
  const GgufTensor* Find(std::string_view tensor) const;  // null when absent
  const absl::flat_hash_map<std::string, GgufTensor>& tensors() const { return header_.tensors; }

 private:
  GgufFile(CheckedFile file, GgufHeader header) : file_(std::move(file)), header_(std::move(header)) {}
  static absl::StatusOr<std::unique_ptr<GgufFile>> FromFile(CheckedFile file);

  const CheckedFile file_;
  const GgufHeader header_;
};

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_GGUF_H_
