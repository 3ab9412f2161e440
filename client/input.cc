#include "client/input.h"

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace attnd {
namespace {

absl::Status CannotRead(const std::string& name) {
  return absl::NotFoundError(absl::StrCat("cannot read ", name, ": ", std::strerror(errno)));
}

void StripLineBreak(std::string& text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (!text.empty() && text.back() == '\r') text.pop_back();
}

}  // namespace

TextSource::TextSource(std::vector<std::string> arguments, Io& io) : arguments_(std::move(arguments)), io_(io) {
  if (arguments_.empty()) arguments_.push_back("-");
}

bool TextSource::Next(Text& text) {
  for (;;) {
    if (lines_ != nullptr) {
      if (std::getline(*lines_, text.text)) {
        StripLineBreak(text.text);
        text.number = ++number_;
        text.place = absl::StrCat("line ", ++line_, name_.empty() ? "" : " of ", name_);
        return true;
      }
      lines_ = nullptr;
    }
    if (next_ == arguments_.size()) return false;
    const std::string& argument = arguments_[next_++];
    line_ = 0;
    if (argument == "-") {
      lines_ = &io_.in;
      name_.clear();
    } else if (argument.size() > 1 && argument[0] == '@') {
      name_ = argument.substr(1);
      errno = 0;
      file_ = std::make_unique<std::ifstream>(name_);
      // A folder opens, but has nothing to read.
      if (!*file_ || (file_->peek() == std::ifstream::traits_type::eof() && file_->bad())) {
        status_ = CannotRead(name_);
        return false;
      }
      file_->clear();
      lines_ = file_.get();
    } else {
      text = {++number_, absl::StrCat("text ", number_), argument};
      return true;
    }
  }
}

absl::StatusOr<std::string> ReadText(const std::string& argument, Io& io) {
  std::string text = argument;
  if (argument == "-") {
    text.assign(std::istreambuf_iterator<char>(io.in), {});
    StripLineBreak(text);
  } else if (argument.size() > 1 && argument[0] == '@') {
    errno = 0;
    std::ifstream file(argument.substr(1));
    if (!file) return CannotRead(argument.substr(1));
    text.assign(std::istreambuf_iterator<char>(file), {});
    if (file.bad()) return CannotRead(argument.substr(1));
    StripLineBreak(text);
  }
  if (!IsUtf8(text)) return absl::InvalidArgumentError("the text is not UTF-8");
  return text;
}

bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const int bytes = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (bytes == 0 || i + bytes > text.size()) return false;
    for (int k = 1; k < bytes; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      // The second byte rules out overlong forms, surrogates and what lies beyond U+10FFFF.
      const unsigned low = k > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
      const unsigned high = k > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
      if (next < low || next > high) return false;
    }
    i += bytes;
  }
  return true;
}

}  // namespace attnd
