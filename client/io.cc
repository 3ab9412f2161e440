#include "client/io.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace attnd {
namespace {

// What the terminal says, else the variable, else `otherwise`.
int Extent(int terminal, const char* variable, int otherwise) {
  if (terminal > 0) return terminal;
  int extent = 0;
  const char* text = std::getenv(variable);
  if (text != nullptr && absl::SimpleAtoi(text, &extent) && extent > 0) return std::min(extent, 10'000);
  return otherwise;
}

}  // namespace

Colors DetectColors(absl::string_view mode, bool terminal, const ColorEnvironment& environment) {
  const auto get = [](const char* value) { return absl::string_view(value == nullptr ? "" : value); };
  const absl::string_view term = get(environment.term);
  if (mode == "never") return Colors::kNone;
  if (mode != "always" && (!terminal || !get(environment.no_color).empty() || term == "dumb")) return Colors::kNone;
  const absl::string_view colorterm = get(environment.colorterm);
  // Forced colours without a terminal go to a file or a page: what reads those knows true colours.
  if (mode == "always" && !terminal) return Colors::kTrue;
  if (colorterm == "truecolor" || colorterm == "24bit" || absl::StrContains(term, "direct")) return Colors::kTrue;
  return Colors::k256;
}

Io SystemIo() {
  Io io{std::cin, std::cout, std::cerr};
  io.in_terminal = isatty(STDIN_FILENO) != 0;
  io.out_terminal = isatty(STDOUT_FILENO) != 0;
  io.err_terminal = isatty(STDERR_FILENO) != 0;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) size = {};
  io.columns = Extent(size.ws_col, "COLUMNS", 80);
  io.rows = Extent(size.ws_row, "LINES", 24);
  return io;
}

void ApplyColorMode(Io& io, absl::string_view mode) {
  io.colors =
      DetectColors(mode, io.out_terminal, {std::getenv("NO_COLOR"), std::getenv("COLORTERM"), std::getenv("TERM")});
}

}  // namespace attnd
