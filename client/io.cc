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

int Columns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  int columns = 0;
  const char* text = std::getenv("COLUMNS");
  if (text != nullptr && absl::SimpleAtoi(text, &columns) && columns > 0) return std::min(columns, 10'000);
  return 80;
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
  io.columns = Columns();
  return io;
}

void ApplyColorMode(Io& io, absl::string_view mode) {
  io.colors =
      DetectColors(mode, io.out_terminal, {std::getenv("NO_COLOR"), std::getenv("COLORTERM"), std::getenv("TERM")});
}

}  // namespace attnd
