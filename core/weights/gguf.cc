#include "core/weights/gguf.h"

#include <algorithm>
#include <utility>

#include "core/weights/dtype.h"

namespace attnd {
absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Open(const std::string& path) {
  absl::StatusOr<CheckedFile> file = CheckedFile::Open(path);
  if (!file.ok()) return file.status();
  return FromFile(*std::move(file));
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::Parse(absl::Span<const std::byte> bytes, std::string name) {
  return FromFile(CheckedFile::FromMemory(bytes, std::move(name)));
}

absl::StatusOr<std::unique_ptr<GgufFile>> GgufFile::FromFile(CheckedFile file) {
  absl::StatusOr<GgufHeader> header = ReadGgufHeader(file);
  if (!header.ok()) return header.status();
  if (absl::Status status = file.CheckUnchanged(); !status.ok()) return status;
  return std::unique_ptr<GgufFile>(new GgufFile(std::move(file), *std::move(header)));
}

const GgufTensor* GgufFile::Find(std::string_view tensor) const {
  const auto found = header_.tensors.find(absl::string_view(tensor.data(), tensor.size()));
  return found == header_.tensors.end() ? nullptr : &found->second;
}

absl::StatusOr<std::vector<float>> GgufFile::ReadF32(std::string_view name, absl::Span<const int64_t> shape) const {
  const GgufTensor* tensor = Find(name);
  if (tensor == nullptr) return MissingTensor(file_.name(), name);
  if (absl::Status status = CheckShape(file_.name(), name, tensor->shape, shape); !status.ok()) return status;
  const GgmlType& type = *tensor->type;
  absl::StatusOr<std::vector<float>> values = AllocateVector<float>(tensor->elements());
  if (!values.ok()) return values;
  const size_t blocks = tensor->bytes / type.block_bytes;
  const size_t chunk_blocks = std::min(blocks, kConvertedAtOnce / type.block_elements);
  std::vector<std::byte> chunk(chunk_blocks * type.block_bytes);
  for (size_t done = 0; done < blocks; done += chunk_blocks) {
    const size_t count = std::min(chunk_blocks, blocks - done);
    if (absl::Status status =
            file_.ReadAt(tensor->offset + done * type.block_bytes, chunk.data(), count * type.block_bytes);
        !status.ok()) {
      return status;
    }
    type.to_f32(chunk.data(), count, values->data() + done * type.block_elements);
  }
  if (absl::Status status = file_.CheckUnchanged(); !status.ok()) return status;
  return values;
}

}  // namespace attnd
