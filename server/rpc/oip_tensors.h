// Tensors of the Open Inference Protocol: from a request's bytes to checked views, and from results to bytes.
#ifndef ATTND_SERVER_RPC_OIP_TENSORS_H_
#define ATTND_SERVER_RPC_OIP_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "inference/grpc_service.pb.h"

namespace attnd {

// The datatypes that some model here takes or gives.
enum class OipType { kBool, kInt32, kInt64, kFp32, kBytes };
absl::string_view OipTypeName(OipType type);  // "FP32", as requests spell it
int OipTypeBytes(OipType type);               // of one element; 0 for BYTES

// What a model takes under one name.
struct OipInputSpec {
  absl::string_view name;
  std::vector<OipType> types;
};

// One input, its size checked. Views into the request, which must outlive it.
class OipInput {
 public:
  const std::string& name() const { return tensor_->name(); }
  OipType type() const { return type_; }
  const std::vector<int64_t>& shape() const { return shape_; }  // every dimension at least 1
  int rank() const { return static_cast<int>(shape_.size()); }
  int64_t elements() const { return elements_; }
  // The tensor in errors: "inputs[1]".
  const std::string& field() const { return field_; }
  // kInvalidArgument naming the tensor, its shape and what was expected, such as "[n] or [n, 1]".
  absl::Status ShapeError(absl::string_view expected) const;

  // The elements, row-major; each call fits one type.
  absl::Span<const float> Floats() const;             // FP32
  absl::Span<const uint8_t> Bools() const;            // BOOL, 0: false
  absl::StatusOr<std::vector<int32_t>> Ints() const;  // INT32 or INT64; kInvalidArgument beyond 32 bits
  absl::StatusOr<std::vector<absl::string_view>> ByteStrings() const;  // BYTES; kInvalidArgument: framing broken

 private:
  friend class OipInputs;
  absl::Status Init(const inference::ModelInferRequest& request, int index, const std::vector<OipType>& types);
  absl::Status CheckParameters() const;
  absl::Status CheckContents() const;

  const inference::ModelInferRequest::InferInputTensor* tensor_ = nullptr;
  const std::string* raw_ = nullptr;  // null: typed contents
  OipType type_ = OipType::kBytes;
  std::vector<int64_t> shape_;
  int64_t elements_ = 0;
  std::string field_;
  std::string raw_field_;  // "raw_input_contents[1]"
};

// The inputs of one request.
class OipInputs {
 public:
  // Checks names, datatypes, shapes and byte counts against `specs`. Errors are kInvalidArgument; they name the tensor
  // and both figures, and never hold a tensor's contents or an unknown tensor's name.
  static absl::StatusOr<OipInputs> Read(const inference::ModelInferRequest& request,
                                        absl::Span<const OipInputSpec> specs);
  // Null when the request does not have it.
  const OipInput* Find(absl::string_view name) const;

 private:
  std::vector<OipInput> inputs_;
};

// Which of the outputs `known` are asked for: a flag for each. A request without a list gets the one at
// `default_output`. kInvalidArgument: unknown (listing what there is), twice, or with a parameter that asks for more
// than bytes.
absl::StatusOr<std::vector<bool>> ReadOipOutputs(const inference::ModelInferRequest& request,
                                                 absl::Span<const absl::string_view> known, int default_output);

// The product of `shape` times the bytes of an element; int64 max where that is more.
int64_t OipBytes(OipType type, absl::Span<const int64_t> shape);
// Appends an output of zeros; the result is its bytes, row-major, aligned for the type, to be filled in.
char* AddOipOutput(absl::string_view name, OipType type, absl::Span<const int64_t> shape,
                   inference::ModelInferResponse& response);
// Appends an output of BYTES; its elements, as many as `shape` has, are to be appended to the result by
// AppendOipByteString.
std::string& AddOipByteStrings(absl::string_view name, absl::Span<const int64_t> shape,
                               inference::ModelInferResponse& response);
void AppendOipByteString(absl::string_view element, std::string& raw);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_TENSORS_H_
