// CheckedFile: bytes of a weight file by position, with a watch on the file changing underneath.
#ifndef ATTND_CORE_WEIGHTS_CHECKED_FILE_H_
#define ATTND_CORE_WEIGHTS_CHECKED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace attnd {

// Read by pread, not through a mapping: everything ends up in packed weights anyway, a file that shrinks is an error
// here and not a SIGBUS, and no second copy of the weights counts as resident. Immutable after Open; any number of
// threads may read at once.
class CheckedFile {
 public:
  // kNotFound and other errors of the system name the path; kInvalidArgument: not a regular file.
  static absl::StatusOr<CheckedFile> Open(const std::string& path);
  // Bytes in memory (tests, fuzzing), which must outlive the result; `name` goes into errors.
  static CheckedFile FromMemory(absl::Span<const std::byte> bytes, std::string name);
  CheckedFile(CheckedFile&& other) noexcept;
  CheckedFile& operator=(CheckedFile&&) = delete;
  ~CheckedFile();

  const std::string& name() const { return name_; }
  uint64_t bytes() const { return static_cast<uint64_t>(stamp_.bytes); }

  // [offset, offset + bytes) must be inside the file as it was opened. kAborted: it shrank since.
  absl::Status ReadAt(uint64_t offset, void* to, size_t bytes) const;
  // kAborted when the file changed since Open: what was read before may be of two versions.
  absl::Status CheckUnchanged() const;

 private:
  struct Stamp {  // what tells that the file is still the one that was checked
    int64_t bytes = 0;
    int64_t modified_ns = 0;
    bool operator==(const Stamp&) const = default;
  };

  CheckedFile() = default;
  static absl::StatusOr<Stamp> StampOf(int fd, const std::string& name);

  std::string name_;
  int fd_ = -1;  // owned when not -1
  Stamp stamp_;
  absl::Span<const std::byte> memory_;  // used where fd_ is -1
};

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_CHECKED_FILE_H_
