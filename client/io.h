// Io: the streams of a run of attn and what the terminal behind them can show.
#ifndef ATTND_CLIENT_IO_H_
#define ATTND_CLIENT_IO_H_

#include <istream>
#include <ostream>

#include "absl/strings/string_view.h"

namespace attnd {

enum class Colors { kNone, k256, kTrue };

struct Io {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool in_terminal = false;
  bool out_terminal = false;
  bool err_terminal = false;
  int columns = 80;  // of the terminal, or of $COLUMNS, else 80
  int rows = 24;     // of the terminal, or of $LINES, else 24
  Colors colors = Colors::kNone;
};

// What decides about colours; null where the variable is not set.
struct ColorEnvironment {
  const char* no_color = nullptr;
  const char* colorterm = nullptr;
  const char* term = nullptr;
};

// `mode`: "auto" (colours on a terminal, unless NO_COLOR or TERM=dumb), "always", "never".
Colors DetectColors(absl::string_view mode, bool terminal, const ColorEnvironment& environment);

// The process's standard streams. `mode` as for DetectColors.
Io SystemIo();
// Sets io.colors by `mode` and the process's environment.
void ApplyColorMode(Io& io, absl::string_view mode);

}  // namespace attnd

#endif  // ATTND_CLIENT_IO_H_
