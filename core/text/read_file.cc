#include "core/text/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace attnd {

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not hang the start
  if (fd == -1) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  const absl::Cleanup closer = [fd] { close(fd); };
  struct stat info;
  if (fstat(fd, &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  if (!S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, ": not a regular file"));
  std::string content;
  // As much as the file had when it was opened, and one byte more to see its end.
  const size_t step = std::clamp(static_cast<size_t>(info.st_size) + 1, size_t{4096}, size_t{1} << 20);
  while (true) {
    const size_t size = content.size();
    if (size > bytes_max) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": above the limit of ", bytes_max, " bytes"));
    }
    content.resize(size + step);
    const ssize_t got = read(fd, content.data() + size, step);
    content.resize(size + (got > 0 ? static_cast<size_t>(got) : 0));
    if (got == -1 && errno == EINTR) continue;
    if (got == -1) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
    if (got == 0) return content;
  }
}

}  // namespace attnd
