#include "core/weights/safetensors.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/weights/safetensors_header.h"

namespace attnd {
namespace {

constexpr std::string_view kLfsPointer = "version https://git-lfs";

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  absl::StatusOr<CheckedFile> file = CheckedFile::Open(path);
  if (!file.ok()) return file.status();
  return FromFile(*std::move(file));
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Parse(absl::Span<const std::byte> bytes,
                                                                        std::string name) {
  return FromFile(CheckedFile::FromMemory(bytes, std::move(name)));
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::FromFile(CheckedFile file) {
  std::unique_ptr<SafetensorsFile> result(new SafetensorsFile(std::move(file)));
  if (absl::Status status = result->ReadHeader(); !status.ok()) return status;
  return result;
}

absl::Status SafetensorsFile::ReadHeader() {
  const uint64_t file_bytes = file_.bytes();
  uint64_t header_bytes = 0;
  if (file_bytes < sizeof(header_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name(), ": ", file_bytes, " bytes are too few for a safetensors file"));
  }
  if (absl::Status status = file_.ReadAt(0, &header_bytes, sizeof(header_bytes)); !status.ok()) return status;
  if (std::memcmp(&header_bytes, kLfsPointer.data(), sizeof(header_bytes)) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(name(), ": a Git LFS pointer, not the weights: run `git lfs pull`"));
  }
  if (header_bytes > kSafetensorsHeaderBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(name(), ": the header length ", header_bytes,
                                                   " is above the limit of ", kSafetensorsHeaderBytesMax,
                                                   " bytes (is this a safetensors file?)"));
  }
  if (header_bytes > file_bytes - sizeof(header_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(name(), ": the header length ", header_bytes,
                                                   " is beyond the file's ", file_bytes, " bytes (is it truncated?)"));
  }
  std::string json(header_bytes, '\0');
  if (absl::Status status = file_.ReadAt(sizeof(header_bytes), json.data(), json.size()); !status.ok()) return status;
  auto tensors = ParseSafetensorsHeader(json, file_bytes - sizeof(header_bytes) - header_bytes);
  if (!tensors.ok()) {
    return absl::Status(tensors.status().code(), absl::StrCat(name(), ": ", tensors.status().message()));
  }
  tensors_ = *std::move(tensors);
  return file_.CheckUnchanged();
}

const TensorInfo* SafetensorsFile::Find(std::string_view name) const {
  const auto found = tensors_.find(absl::string_view(name.data(), name.size()));
  return found == tensors_.end() ? nullptr : &found->second;
}

absl::StatusOr<const TensorInfo*> SafetensorsFile::FindChecked(std::string_view name,
                                                               absl::Span<const int64_t> shape) const {
  const TensorInfo* tensor = Find(name);
  if (tensor == nullptr) return MissingTensor(this->name(), name);
  if (absl::Status status = CheckShape(this->name(), name, tensor->shape, shape); !status.ok()) return status;
  return tensor;
}

absl::StatusOr<std::vector<float>> SafetensorsFile::ReadF32(std::string_view name,
                                                            absl::Span<const int64_t> shape) const {
  absl::StatusOr<const TensorInfo*> found = FindChecked(name, shape);
  if (!found.ok()) return found.status();
  const TensorInfo& tensor = **found;
  if (!ConvertsToF32(tensor.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(this->name(), ": tensor ", QuotedName(name), " has dtype ",
                                                   std::string(DTypeName(tensor.dtype)),
                                                   ", expected F32, F16, BF16 or F64"));
  }
  const int64_t elements = tensor.elements();
  absl::StatusOr<std::vector<float>> values = AllocateVector<float>(elements);
  if (!values.ok()) return values;
  if (tensor.dtype == DType::kF32) {
    if (absl::Status status = file_.ReadAt(tensor.offset, values->data(), tensor.bytes); !status.ok()) return status;
  } else {
    const size_t size = DTypeSize(tensor.dtype);
    std::vector<std::byte> chunk(std::min<size_t>(kConvertedAtOnce, elements) * size);
    for (size_t done = 0; done < static_cast<size_t>(elements); done += kConvertedAtOnce) {
      const size_t count = std::min(kConvertedAtOnce, static_cast<size_t>(elements) - done);
      if (absl::Status status = file_.ReadAt(tensor.offset + done * size, chunk.data(), count * size); !status.ok()) {
        return status;
      }
      ConvertToF32(tensor.dtype, chunk.data(), count, values->data() + done);
    }
  }
  if (absl::Status status = file_.CheckUnchanged(); !status.ok()) return status;
  return values;
}

}  // namespace attnd
