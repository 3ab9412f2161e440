#include "core/weights/gguf_cursor.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/weights/gguf_header.h"

namespace attnd {
namespace {

constexpr uint64_t kBufferBytes = 1 << 18;

}  // namespace

GgufCursor::GgufCursor(const CheckedFile& file)
    : file_(file),
      limit_(std::min(file.bytes(), kGgufHeaderBytesMax)),
      buffer_(static_cast<size_t>(std::min(limit_, kBufferBytes))) {}

void GgufCursor::Copy(size_t bytes, void* to) {
  if (!status_.ok()) return;
  if (bytes > remaining()) {
    status_ = absl::InvalidArgumentError(limit_ < file_.bytes()
                                             ? absl::StrCat("the header is longer than the limit of ", limit_, " bytes")
                                             : absl::StrCat("the file ends inside its header, at byte ", limit_));
    return;
  }
  char* out = static_cast<char*>(to);
  while (bytes > 0) {
    if (position_ >= buffer_begin_ + buffered_) {
      buffer_begin_ = position_;
      buffered_ = static_cast<size_t>(std::min<uint64_t>(buffer_.size(), limit_ - position_));
      if (status_ = file_.ReadAt(buffer_begin_, buffer_.data(), buffered_); !status_.ok()) return;
    }
    const size_t at = static_cast<size_t>(position_ - buffer_begin_);
    const size_t count = std::min(bytes, buffered_ - at);
    std::memcpy(out, buffer_.data() + at, count);
    out += count;
    position_ += count;
    bytes -= count;
  }
}

std::string GgufCursor::String(uint64_t bytes_max) {
  const auto size = Number<uint64_t>();
  if (!status_.ok()) return "";
  if (size > bytes_max || size > remaining()) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat("at byte ", position_, " a string of ", size, " bytes, beyond its limit or the file's end"));
    return "";
  }
  std::string text(static_cast<size_t>(size), '\0');
  Copy(text.size(), text.data());
  return text;
}

}  // namespace attnd
