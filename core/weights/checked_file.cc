#include "core/weights/checked_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attnd {

CheckedFile::CheckedFile(CheckedFile&& other) noexcept
    : name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)),
      stamp_(other.stamp_),
      memory_(std::exchange(other.memory_, {})) {}

CheckedFile::~CheckedFile() {
  if (fd_ != -1) close(fd_);
}

absl::StatusOr<CheckedFile> CheckedFile::Open(const std::string& path) {
  CheckedFile file;
  file.name_ = path;
  file.fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not hang the start
  if (file.fd_ == -1) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  absl::StatusOr<Stamp> stamp = StampOf(file.fd_, path);
  if (!stamp.ok()) return stamp.status();
  file.stamp_ = *stamp;
  return file;
}

CheckedFile CheckedFile::FromMemory(absl::Span<const std::byte> bytes, std::string name) {
  CheckedFile file;
  file.name_ = std::move(name);
  file.memory_ = bytes;
  file.stamp_.bytes = static_cast<int64_t>(bytes.size());
  return file;
}

absl::StatusOr<CheckedFile::Stamp> CheckedFile::StampOf(int fd, const std::string& name) {
  struct stat info;
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", name));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(name, ": not a regular file"));
  return Stamp{info.st_size, info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec};
}

absl::Status CheckedFile::ReadAt(uint64_t offset, void* to, size_t bytes) const {
  if (bytes == 0) return absl::OkStatus();
  if (fd_ == -1) {
    std::memcpy(to, memory_.data() + offset, bytes);
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

absl::Status CheckedFile::CheckUnchanged() const {
  if (fd_ == -1) return absl::OkStatus();
  absl::StatusOr<Stamp> stamp = StampOf(fd_, name_);
  if (!stamp.ok()) return stamp.status();
  if (*stamp != stamp_) return absl::AbortedError(absl::StrCat(name_, ": the file changed while it was read"));
  return absl::OkStatus();
}

}  // namespace attnd
