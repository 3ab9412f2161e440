// GgufCursor: reads the head of a GGUF file value by value, never beyond the file or the limit of a header.
#ifndef ATTND_CORE_WEIGHTS_GGUF_CURSOR_H_
#define ATTND_CORE_WEIGHTS_GGUF_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/weights/checked_file.h"

namespace attnd {

// After the first fault every value is 0 or empty and status() tells the fault: look at it before trusting values.
class GgufCursor {
 public:
  explicit GgufCursor(const CheckedFile& file);  // must outlive the cursor

  template <typename T>
  T Number() {
    T value{};
    Copy(sizeof(T), &value);
    return value;
  }
  // A length of 8 bytes and that many bytes, at most `bytes_max`.
  std::string String(uint64_t bytes_max);

  uint64_t position() const { return position_; }
  uint64_t remaining() const { return limit_ - position_; }
  const absl::Status& status() const { return status_; }

 private:
  void Copy(size_t bytes, void* to);

  const CheckedFile& file_;
  const uint64_t limit_;  // bytes that may be read
  uint64_t position_ = 0;
  std::vector<char> buffer_;  // bytes of the file from buffer_begin_ on
  uint64_t buffer_begin_ = 0;
  size_t buffered_ = 0;
  absl::Status status_;
};

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_GGUF_CURSOR_H_
