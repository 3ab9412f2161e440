// Where texts come from: arguments, files, standard input.
#ifndef ATTND_CLIENT_INPUT_H_
#define ATTND_CLIENT_INPUT_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/io.h"

namespace attnd {

struct Text {
  uint64_t number = 0;  // from 1, over all sources
  std::string place;    // "text 2", "line 7 of names.txt"
  std::string text;
};

// Texts one by one: an argument is a text, "@FILE" the lines of a file, "-" the lines of standard input. An empty line
// is an empty text. Lines may end in CR LF.
class TextSource {
 public:
  // Without arguments: standard input.
  TextSource(std::vector<std::string> arguments, Io& io);
  // False at the end, or when a file cannot be read: then status() says so.
  bool Next(Text& text);
  const absl::Status& status() const { return status_; }

 private:
  std::vector<std::string> arguments_;
  Io& io_;
  size_t next_ = 0;
  uint64_t number_ = 0;
  uint64_t line_ = 0;
  std::string name_;               // of the open source
  std::istream* lines_ = nullptr;  // the open source
  std::unique_ptr<std::ifstream> file_;
  absl::Status status_;
};

// One whole text: the argument itself, "@FILE", or "-" for standard input; a final line break is not part of it.
// Checked to be UTF-8.
absl::StatusOr<std::string> ReadText(const std::string& argument, Io& io);

bool IsUtf8(absl::string_view text);

}  // namespace attnd

#endif  // ATTND_CLIENT_INPUT_H_
