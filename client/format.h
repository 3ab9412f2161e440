// How numbers, names and texts are written for people.
#ifndef ATTND_CLIENT_FORMAT_H_
#define ATTND_CLIENT_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "attnd/v1/types.pb.h"

namespace attnd {

// 1204 -> "1,204".
std::string Thousands(uint64_t value);
// 1536 -> "1.5 KiB".
std::string Bytes(uint64_t bytes);
// 3.5e6 ns -> "3.5"; three significant digits at most, never an exponent.
std::string Milliseconds(double ms);
// 1 -> "1 text", 3 -> "3 texts".
std::string Count(uint64_t count, absl::string_view noun);

// Columns that the text takes in a terminal; wide characters take two, combining ones none.
int Width(absl::string_view text);
// At most `width` columns; cut texts end in "…". Control characters and line breaks become spaces, so that a text
// cannot drive the terminal.
std::string Fit(absl::string_view text, int width);
// `text` with line breaks and tabs, without what else would drive a terminal.
std::string TerminalText(absl::string_view text);
// Fit, then padded to exactly `width` columns.
std::string PadRight(absl::string_view text, int width);
std::string PadLeft(absl::string_view text, int width);

// "tokenise 0.1, queue 0.0, compute 3.5", in milliseconds.
std::string StageLine(const v1::Timings& timings);
void AddTimings(v1::Timings& sum, const v1::Timings& part);

// A table whose first row is the header; columns are padded to their widest cell. `left` names the columns that are
// aligned left, the others are aligned right. Every line ends with a line break and no spaces.
std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<int>& left);

}  // namespace attnd

#endif  // ATTND_CLIENT_FORMAT_H_
