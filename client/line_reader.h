// LineReader: lines that somebody types, with editing and history, or that come from a pipe.
#ifndef ATTND_CLIENT_LINE_READER_H_
#define ATTND_CLIENT_LINE_READER_H_

#include <memory>
#include <string>

#include "client/io.h"

namespace attnd {

class LineReader {
 public:
  enum class Result { kLine, kInterrupted, kEnd };  // Ctrl-C; Ctrl-D or the end of the pipe

  virtual ~LineReader() = default;
  // `line` without its line break. `prompt` is shown where somebody types.
  virtual Result Next(const std::string& prompt, std::string& line) = 0;
};

// Of io.in as it is.
std::unique_ptr<LineReader> MakePipeReader(Io& io);
// Of the process's terminal, by libedit: emacs keys (vi's by ~/.editrc), Ctrl-R searches. `history_file` keeps the
// lines between runs, readable by the user alone; empty: none. While there is one, Ctrl-C between two lines does
// nothing of its own. One at a time in a process.
std::unique_ptr<LineReader> MakeTerminalReader(const std::string& history_file, Colors colors);

// Where histories belong: $XDG_STATE_HOME/attn/NAME, or below ~/.local/state; its folder is made. Empty where there is
// no home.
std::string HistoryPath(const std::string& name);

}  // namespace attnd

#endif  // ATTND_CLIENT_LINE_READER_H_
