#include "server/rpc/oip_tensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/ops/status.h"
#include "server/rpc/oip_parameters.h"

namespace attnd {
namespace {

using Tensor = inference::ModelInferRequest::InferInputTensor;

constexpr int kMaxRank = 8;
static_assert(std::endian::native == std::endian::little, "raw contents are little-endian");

std::string TensorShapeText(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

std::string TypesText(const std::vector<OipType>& types) {
  return absl::StrJoin(types, " or ", [](std::string* out, OipType type) { absl::StrAppend(out, OipTypeName(type)); });
}

// Elements of the contents' field that fits `type`, and of all fields together.
struct ContentsCount {
  int64_t fitting;
  int64_t all;
  absl::string_view field;  // the fitting one
};
ContentsCount CountContents(const inference::InferTensorContents& contents, OipType type) {
  const int64_t all = int64_t{contents.bool_contents_size()} + contents.int_contents_size() +
                      contents.int64_contents_size() + contents.uint_contents_size() + contents.uint64_contents_size() +
                      contents.fp32_contents_size() + contents.fp64_contents_size() + contents.bytes_contents_size();
  switch (type) {
    case OipType::kBool:
      return {contents.bool_contents_size(), all, "bool_contents"};
    case OipType::kInt32:
      return {contents.int_contents_size(), all, "int_contents"};
    case OipType::kInt64:
      return {contents.int64_contents_size(), all, "int64_contents"};
    case OipType::kFp32:
      return {contents.fp32_contents_size(), all, "fp32_contents"};
    case OipType::kBytes:
      return {contents.bytes_contents_size(), all, "bytes_contents"};
  }
  return {0, all, ""};
}

}  // namespace

absl::string_view OipTypeName(OipType type) {
  switch (type) {
    case OipType::kBool:
      return "BOOL";
    case OipType::kInt32:
      return "INT32";
    case OipType::kInt64:
      return "INT64";
    case OipType::kFp32:
      return "FP32";
    case OipType::kBytes:
      return "BYTES";
  }
  return "";
}

int OipTypeBytes(OipType type) {
  switch (type) {
    case OipType::kBool:
      return 1;
    case OipType::kInt32:
    case OipType::kFp32:
      return 4;
    case OipType::kInt64:
      return 8;
    case OipType::kBytes:
      return 0;
  }
  return 0;
}

absl::Status OipInput::Init(const inference::ModelInferRequest& request, int index, const std::vector<OipType>& types) {
  tensor_ = &request.inputs(index);
  raw_ = request.raw_input_contents_size() > 0 ? &request.raw_input_contents(index) : nullptr;
  field_ = absl::StrCat("inputs[", index, "]");
  raw_field_ = absl::StrCat("raw_input_contents[", index, "]");
  const auto type = std::find_if(types.begin(), types.end(),
                                 [this](OipType candidate) { return tensor_->datatype() == OipTypeName(candidate); });
  if (type == types.end()) {
    return FieldError(absl::StrCat(field_, ".datatype"), absl::StrCat(name(), " takes ", TypesText(types)));
  }
  type_ = *type;
  if (absl::Status status = CheckParameters(); !status.ok()) return status;
  const std::string shape_field = absl::StrCat(field_, ".shape");
  if (tensor_->shape_size() == 0 || tensor_->shape_size() > kMaxRank) {
    return FieldError(shape_field, absl::StrCat(name(), " has ", tensor_->shape_size(), " dimensions; 1 to ", kMaxRank,
                                                " are possible"));
  }
  shape_.assign(tensor_->shape().begin(), tensor_->shape().end());
  elements_ = 1;
  for (int64_t dimension : shape_) {
    if (dimension < 1) {
      return FieldError(shape_field, absl::StrCat(name(), " has shape ", TensorShapeText(shape_),
                                                  "; every dimension must be at least 1"));
    }
    if (__builtin_mul_overflow(elements_, dimension, &elements_) ||
        elements_ > std::numeric_limits<int64_t>::max() / 8) {
      return FieldError(shape_field, absl::StrCat(name(), " has shape ", TensorShapeText(shape_),
                                                  ", more elements than there can be"));
    }
  }
  return CheckContents();
}

absl::Status OipInput::CheckParameters() const {
  const std::string field = absl::StrCat(field_, ".parameters");
  for (const auto& parameter : tensor_->parameters()) {
    const absl::string_view key = parameter.first;
    // Of the HTTP form; KServe's client sends them over gRPC, too. Here all data is binary, and knows its size.
    if (key == "binary_data_size" || key == "binary_data") continue;
    if (absl::StartsWith(key, "shared_memory_")) {
      return FieldError(field, absl::StrCat(name(), ": tensors take no parameters; shared memory is not supported"));
    }
    return FieldError(OipParameterField(field, key), absl::StrCat(name(), ": unknown; tensors take no parameters"));
  }
  return absl::OkStatus();
}

absl::Status OipInput::CheckContents() const {
  if (raw_ == nullptr) {
    const ContentsCount count = CountContents(tensor_->contents(), type_);
    if (count.all != count.fitting) {
      return FieldError(absl::StrCat(field_, ".contents"),
                        absl::StrCat(name(), " is ", OipTypeName(type_), ": only ", count.field, " may be set"));
    }
    if (count.fitting != elements_) {
      return FieldError(absl::StrCat(field_, ".contents"),
                        absl::StrCat(name(), " has ", count.fitting, " elements in ", count.field, "; its shape ",
                                     TensorShapeText(shape_), " needs ", elements_));
    }
    return absl::OkStatus();
  }
  const int64_t bytes = static_cast<int64_t>(raw_->size());
  if (type_ == OipType::kBytes) {
    // The framing is walked by ByteStrings; here only what bounds the number of elements.
    if (elements_ > bytes / 4) {
      return FieldError(raw_field_, absl::StrCat(name(), " has ", bytes, " bytes; its ", elements_,
                                                 " elements need at least 4 bytes each"));
    }
    return absl::OkStatus();
  }
  if (bytes != elements_ * OipTypeBytes(type_)) {
    return FieldError(raw_field_, absl::StrCat(name(), " has ", bytes, " bytes; its shape ", TensorShapeText(shape_),
                                               " of ", OipTypeName(type_), " needs ", elements_ * OipTypeBytes(type_)));
  }
  return absl::OkStatus();
}

absl::Status OipInput::ShapeError(absl::string_view expected) const {
  return FieldError(absl::StrCat(field_, ".shape"),
                    absl::StrCat(name(), " has shape ", TensorShapeText(shape_), "; it must be ", expected));
}

// A protobuf string of four bytes or more is aligned for every element: its bytes are std::string's.
absl::Span<const float> OipInput::Floats() const {
  if (raw_ != nullptr) return {reinterpret_cast<const float*>(raw_->data()), static_cast<size_t>(elements_)};
  return {tensor_->contents().fp32_contents().data(), static_cast<size_t>(elements_)};
}

absl::Span<const uint8_t> OipInput::Bools() const {
  static_assert(sizeof(bool) == 1);
  if (raw_ != nullptr) return {reinterpret_cast<const uint8_t*>(raw_->data()), static_cast<size_t>(elements_)};
  return {reinterpret_cast<const uint8_t*>(tensor_->contents().bool_contents().data()), static_cast<size_t>(elements_)};
}

absl::StatusOr<std::vector<int32_t>> OipInput::Ints() const {
  std::vector<int32_t> result(static_cast<size_t>(elements_));
  if (type_ == OipType::kInt32) {
    const void* from =
        raw_ != nullptr ? static_cast<const void*>(raw_->data()) : tensor_->contents().int_contents().data();
    std::memcpy(result.data(), from, result.size() * sizeof(int32_t));
    return result;
  }
  const char* from =
      raw_ != nullptr ? raw_->data() : reinterpret_cast<const char*>(tensor_->contents().int64_contents().data());
  for (size_t i = 0; i < result.size(); ++i) {
    int64_t value;
    std::memcpy(&value, from + i * sizeof(value), sizeof(value));
    if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max()) {
      return FieldError(field_, absl::StrCat(name(), " holds ", value, " at element ", i, ", beyond 32 bits"));
    }
    result[i] = static_cast<int32_t>(value);
  }
  return result;
}

absl::StatusOr<std::vector<absl::string_view>> OipInput::ByteStrings() const {
  std::vector<absl::string_view> result;
  result.reserve(static_cast<size_t>(elements_));
  if (raw_ == nullptr) {
    for (const std::string& element : tensor_->contents().bytes_contents()) result.push_back(element);
    return result;
  }
  absl::string_view rest = *raw_;
  const auto broken = [&](absl::string_view what) {
    return FieldError(raw_field_,
                      absl::StrCat(name(), ": BYTES are a 4-byte length and the bytes, per element; element ",
                                   result.size(), " of ", elements_, " ", what, ", ", rest.size(), " bytes are left"));
  };
  for (int64_t i = 0; i < elements_; ++i) {
    if (rest.size() < 4) return broken("has no length");
    uint32_t length;
    std::memcpy(&length, rest.data(), sizeof(length));
    if (length > rest.size() - 4) return broken(absl::StrCat("says ", length, " bytes"));
    result.push_back(rest.substr(4, length));
    rest.remove_prefix(4 + size_t{length});
  }
  if (!rest.empty()) {
    return FieldError(raw_field_,
                      absl::StrCat(name(), " has ", rest.size(), " bytes after its ", elements_, " elements"));
  }
  return result;
}

absl::StatusOr<OipInputs> OipInputs::Read(const inference::ModelInferRequest& request,
                                          absl::Span<const OipInputSpec> specs) {
  const auto names = [&] {
    return absl::StrJoin(specs, ", ",
                         [](std::string* out, const OipInputSpec& spec) { absl::StrAppend(out, spec.name); });
  };
  if (request.inputs_size() == 0) return FieldError("inputs", absl::StrCat("the model takes ", names()));
  const int raw = request.raw_input_contents_size();
  if (raw > 0) {
    if (raw != request.inputs_size()) {
      return FieldError("raw_input_contents",
                        absl::StrCat(raw, " entries for ", request.inputs_size(), " inputs; one an input, in order"));
    }
    for (int i = 0; i < request.inputs_size(); ++i) {
      if (request.inputs(i).has_contents()) {
        return FieldError(absl::StrCat("inputs[", i, "].contents"),
                          "raw_input_contents and contents exclude each other in one request");
      }
    }
  }
  OipInputs result;
  for (int i = 0; i < request.inputs_size(); ++i) {
    const std::string& name = request.inputs(i).name();
    const auto spec =
        std::find_if(specs.begin(), specs.end(), [&](const OipInputSpec& candidate) { return candidate.name == name; });
    if (spec == specs.end()) {
      return FieldError(absl::StrCat("inputs[", i, "].name"), absl::StrCat("no such input; the model takes ", names()));
    }
    if (result.Find(name) != nullptr) {
      return FieldError(absl::StrCat("inputs[", i, "].name"), absl::StrCat(name, " is there twice"));
    }
    if (absl::Status status = result.inputs_.emplace_back().Init(request, i, spec->types); !status.ok()) return status;
  }
  return result;
}

const OipInput* OipInputs::Find(absl::string_view name) const {
  for (const OipInput& input : inputs_) {
    if (input.tensor_ != nullptr && input.name() == name) return &input;
  }
  return nullptr;
}

absl::StatusOr<std::vector<bool>> ReadOipOutputs(const inference::ModelInferRequest& request,
                                                 absl::Span<const absl::string_view> known, int default_output) {
  std::vector<bool> wanted(known.size());
  if (request.outputs_size() == 0) wanted[static_cast<size_t>(default_output)] = true;
  for (int i = 0; i < request.outputs_size(); ++i) {
    const auto& output = request.outputs(i);
    const auto found = std::find(known.begin(), known.end(), output.name());
    const std::string field = absl::StrCat("outputs[", i, "]");
    if (found == known.end()) {
      return FieldError(absl::StrCat(field, ".name"),
                        absl::StrCat("no such output; the model gives ", absl::StrJoin(known, ", ")));
    }
    const size_t index = static_cast<size_t>(found - known.begin());
    if (wanted[index]) return FieldError(absl::StrCat(field, ".name"), absl::StrCat(*found, " is asked for twice"));
    for (const auto& parameter : output.parameters()) {
      if (parameter.first == "binary_data") continue;  // of the HTTP form; here all data is binary
      return FieldError(absl::StrCat(field, ".parameters"),
                        absl::StrCat(*found, ": classification and shared memory are not supported"));
    }
    wanted[index] = true;
  }
  return wanted;
}

int64_t OipBytes(OipType type, absl::Span<const int64_t> shape) {
  int64_t bytes = OipTypeBytes(type);
  for (int64_t dimension : shape) {
    if (__builtin_mul_overflow(bytes, dimension, &bytes)) return std::numeric_limits<int64_t>::max();
  }
  return bytes;
}

char* AddOipOutput(absl::string_view name, OipType type, absl::Span<const int64_t> shape,
                   inference::ModelInferResponse& response) {
  auto* output = response.add_outputs();
  output->set_name(std::string(name));
  output->set_datatype(std::string(OipTypeName(type)));
  for (int64_t dimension : shape) output->add_shape(dimension);
  std::string* raw = response.add_raw_output_contents();
  raw->resize(static_cast<size_t>(OipBytes(type, shape)));
  return raw->data();
}

std::string& AddOipByteStrings(absl::string_view name, absl::Span<const int64_t> shape,
                               inference::ModelInferResponse& response) {
  AddOipOutput(name, OipType::kBytes, shape, response);
  return *response.mutable_raw_output_contents(response.raw_output_contents_size() - 1);
}

void AppendOipByteString(absl::string_view element, std::string& raw) {
  const auto length = static_cast<uint32_t>(element.size());
  raw.append(reinterpret_cast<const char*>(&length), sizeof(length));
  absl::StrAppend(&raw, element);
}

}  // namespace attnd
