#include "core/weights/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/weights/safetensors_header.h"

namespace attnd {
namespace {

constexpr size_t kChunkElements = 1 << 14;  // converted at a time: stays in L2
constexpr std::string_view kLfsPointer = "version https://git-lfs";

bool Matches(absl::Span<const int64_t> shape, absl::Span<const int64_t> expected) {
  return std::equal(shape.begin(), shape.end(), expected.begin(), expected.end(),
                    [](int64_t extent, int64_t want) { return want < 0 || extent == want; });
}

// An empty vector of `size` elements, or kResourceExhausted: sizes are real, but may still be more than the machine
// has.
template <typename T>
absl::StatusOr<std::vector<T>> Allocate(int64_t size) {
  try {
    return std::vector<T>(static_cast<size_t>(size));
  } catch (const std::exception&) {  // bad_alloc, length_error
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", size, " elements"));
  }
}

}  // namespace

SafetensorsFile::~SafetensorsFile() {
  if (fd_ != -1) close(fd_);
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile());
  file->name_ = path;
  file->fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not hang the start
  if (file->fd_ == -1) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  absl::StatusOr<Stamp> stamp = StampOf(file->fd_, path);
  if (!stamp.ok()) return stamp.status();
  file->stamp_ = *stamp;
  if (absl::Status status = file->ReadHeader(static_cast<uint64_t>(stamp->bytes)); !status.ok()) return status;
  return file;
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Parse(absl::Span<const std::byte> bytes,
                                                                        std::string name) {
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile());
  file->name_ = std::move(name);
  file->memory_ = bytes;
  if (absl::Status status = file->ReadHeader(bytes.size()); !status.ok()) return status;
  return file;
}

absl::StatusOr<SafetensorsFile::Stamp> SafetensorsFile::StampOf(int fd, const std::string& name) {
  struct stat info;
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", name));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(name, ": not a regular file"));
  return Stamp{info.st_size, info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec};
}

absl::Status SafetensorsFile::ReadHeader(uint64_t file_bytes) {
  uint64_t header_bytes = 0;
  if (file_bytes < sizeof(header_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ": ", file_bytes, " bytes are too few for a safetensors file"));
  }
  if (absl::Status status = ReadAt(0, &header_bytes, sizeof(header_bytes)); !status.ok()) return status;
  if (std::memcmp(&header_bytes, kLfsPointer.data(), sizeof(header_bytes)) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": a Git LFS pointer, not the weights: run `git lfs pull`"));
  }
  if (header_bytes > kSafetensorsHeaderBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": the header length ", header_bytes,
                                                   " is above the limit of ", kSafetensorsHeaderBytesMax,
                                                   " bytes (is this a safetensors file?)"));
  }
  if (header_bytes > file_bytes - sizeof(header_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": the header length ", header_bytes,
                                                   " is beyond the file's ", file_bytes, " bytes (is it truncated?)"));
  }
  std::string json(header_bytes, '\0');
  if (absl::Status status = ReadAt(sizeof(header_bytes), json.data(), json.size()); !status.ok()) return status;
  auto tensors = ParseSafetensorsHeader(json, file_bytes - sizeof(header_bytes) - header_bytes);
  if (!tensors.ok()) {
    return absl::Status(tensors.status().code(), absl::StrCat(name_, ": ", tensors.status().message()));
  }
  tensors_ = *std::move(tensors);
  return CheckUnchanged();
}

const TensorInfo* SafetensorsFile::Find(std::string_view name) const {
  const auto found = tensors_.find(absl::string_view(name.data(), name.size()));
  return found == tensors_.end() ? nullptr : &found->second;
}

absl::StatusOr<const TensorInfo*> SafetensorsFile::FindChecked(std::string_view name,
                                                               absl::Span<const int64_t> shape) const {
  const TensorInfo* tensor = Find(name);
  if (tensor == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": tensor ", QuotedName(name), " is missing"));
  }
  if (!Matches(tensor->shape, shape)) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": tensor ", QuotedName(name), " has shape ",
                                                   ShapeText(tensor->shape), ", expected ", ShapeText(shape)));
  }
  return tensor;
}

absl::StatusOr<std::vector<float>> SafetensorsFile::ReadF32(std::string_view name,
                                                            absl::Span<const int64_t> shape) const {
  absl::StatusOr<const TensorInfo*> found = FindChecked(name, shape);
  if (!found.ok()) return found.status();
  const TensorInfo& tensor = **found;
  if (!ConvertsToF32(tensor.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": tensor ", QuotedName(name), " has dtype ",
                                                   std::string(DTypeName(tensor.dtype)),
                                                   ", expected F32, F16, BF16 or F64"));
  }
  const int64_t elements = tensor.elements();
  absl::StatusOr<std::vector<float>> values = Allocate<float>(elements);
  if (!values.ok()) return values;
  if (tensor.dtype == DType::kF32) {
    if (absl::Status status = ReadAt(tensor.offset, values->data(), tensor.bytes); !status.ok()) return status;
  } else {
    const size_t size = DTypeSize(tensor.dtype);
    std::vector<std::byte> chunk(std::min<size_t>(kChunkElements, elements) * size);
    for (size_t done = 0; done < static_cast<size_t>(elements); done += kChunkElements) {
      const size_t count = std::min(kChunkElements, static_cast<size_t>(elements) - done);
      if (absl::Status status = ReadAt(tensor.offset + done * size, chunk.data(), count * size); !status.ok()) {
        return status;
      }
      ConvertToF32(tensor.dtype, chunk.data(), count, values->data() + done);
    }
  }
  if (absl::Status status = CheckUnchanged(); !status.ok()) return status;
  return values;
}

absl::StatusOr<std::vector<int32_t>> SafetensorsFile::ReadI32(std::string_view name,
                                                              absl::Span<const int64_t> shape) const {
  absl::StatusOr<const TensorInfo*> found = FindChecked(name, shape);
  if (!found.ok()) return found.status();
  const TensorInfo& tensor = **found;
  if (tensor.dtype != DType::kI32) {
    return absl::InvalidArgumentError(absl::StrCat(name_, ": tensor ", QuotedName(name), " has dtype ",
                                                   std::string(DTypeName(tensor.dtype)), ", expected I32"));
  }
  absl::StatusOr<std::vector<int32_t>> values = Allocate<int32_t>(tensor.elements());
  if (!values.ok()) return values;
  if (absl::Status status = ReadAt(tensor.offset, values->data(), tensor.bytes); !status.ok()) return status;
  if (absl::Status status = CheckUnchanged(); !status.ok()) return status;
  return values;
}

absl::Status SafetensorsFile::ReadAt(uint64_t offset, void* to, size_t bytes) const {
  if (bytes == 0) return absl::OkStatus();
  if (fd_ == -1) {
    std::memcpy(to, memory_.data() + offset, bytes);  // inside, as the header was checked
    return absl::OkStatus();
  }
  for (size_t done = 0; done < bytes;) {
    const ssize_t got = pread(fd_, static_cast<char*>(to) + done, bytes - done, static_cast<off_t>(offset + done));
    if (got == -1 && errno == EINTR) continue;
    if (got == -1) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", name_));
    if (got == 0) return absl::AbortedError(absl::StrCat(name_, ": the file shrank while it was read"));
    done += static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status SafetensorsFile::CheckUnchanged() const {
  if (fd_ == -1) return absl::OkStatus();
  absl::StatusOr<Stamp> stamp = StampOf(fd_, name_);
  if (!stamp.ok()) return stamp.status();
  if (*stamp != stamp_) return absl::AbortedError(absl::StrCat(name_, ": the file changed while it was read"));
  return absl::OkStatus();
}

}  // namespace attnd
