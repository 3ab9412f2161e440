// TensorSource: named tensors of a checkpoint, whatever file format they come from.
#ifndef ATTND_CORE_WEIGHTS_TENSOR_SOURCE_H_
#define ATTND_CORE_WEIGHTS_TENSOR_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace attnd {

// Immutable after it was opened; any number of threads may read at once.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // What errors call it: a path.
  virtual const std::string& name() const = 0;
  virtual bool Contains(std::string_view tensor) const = 0;
  // The tensor as f32, its shape checked first: an entry of -1 in `shape` matches any extent. kInvalidArgument names
  // the file, the tensor and both shapes; kResourceExhausted: no memory; kAborted: the file changed since it was
  // opened.
  virtual absl::StatusOr<std::vector<float>> ReadF32(std::string_view tensor,
                                                     absl::Span<const int64_t> shape) const = 0;
};

// The weights of a Hugging Face folder: model.safetensors, or the parts that model.safetensors.index.json names.
// kNotFound where neither is there; a folder with pytorch_model.bin alone is refused with the way out.
absl::StatusOr<std::unique_ptr<TensorSource>> OpenCheckpoint(const std::string& folder);

// For implementations.

// kInvalidArgument unless `shape` is `expected`, as ReadF32 says.
absl::Status CheckShape(const std::string& source, std::string_view tensor, absl::Span<const int64_t> shape,
                        absl::Span<const int64_t> expected);
absl::Status MissingTensor(const std::string& source, std::string_view tensor);

// A vector of `size` zeros, or kResourceExhausted: sizes are real, but may still be more than the machine has.
template <typename T>
absl::StatusOr<std::vector<T>> AllocateVector(int64_t size) {
  try {
    return std::vector<T>(static_cast<size_t>(size));
  } catch (const std::exception&) {  // bad_alloc, length_error
    return absl::ResourceExhaustedError("no memory for " + std::to_string(size) + " elements");
  }
}

// "[2, 3]"; an entry of -1 prints as "any".
std::string ShapeText(absl::Span<const int64_t> shape);
// A name out of a file as errors show it: quoted, escaped, at most 100 characters.
std::string QuotedName(std::string_view name);

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_TENSOR_SOURCE_H_
