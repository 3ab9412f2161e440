#include "client/line_reader.h"

#include <histedit.h>
#include <langinfo.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/render/palette.h"

namespace attnd {
namespace {

constexpr int kHistoryLines = 1000;
constexpr char kEscape = '\x01';  // around what of a prompt takes no room

class PipeReader : public LineReader {
 public:
  explicit PipeReader(Io& io) : io_(io) {}
  Result Next(const std::string&, std::string& line) override {
    if (!std::getline(io_.in, line)) return Result::kEnd;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return Result::kLine;
  }

 private:
  Io& io_;
};

class TerminalReader : public LineReader {
 public:
  TerminalReader(std::string history_file, Colors colors) : history_file_(std::move(history_file)), colors_(colors) {
    // Characters of several bytes are edited as one where the locale says that they are.
    std::setlocale(LC_CTYPE, "");
    if (absl::string_view(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
    edit_ = el_init("attn", stdin, stdout, stderr);
    history_ = history_init();
    history(history_, &event_, H_SETSIZE, kHistoryLines);
    history(history_, &event_, H_SETUNIQUE, 1);
    if (!history_file_.empty()) history(history_, &event_, H_LOAD, history_file_.c_str());
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_PROMPT_ESC, &Prompt, kEscape);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_HIST, history, history_);
    el_set(edit_, EL_SIGNAL, 1);  // follows the window's size
    el_set(edit_, EL_ADDFN, "attn-interrupt", "Drop the line", &Interrupt);
    el_set(edit_, EL_BIND, "^C", "attn-interrupt", nullptr);
    el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_set(edit_, EL_BIND, "\\e[1;5D", "em-prev-word", nullptr);
    el_set(edit_, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
    el_source(edit_, nullptr);
    el_set(edit_, EL_SETTY, "-d", "-isig", nullptr);  // Ctrl-C is a key while a line is edited
    // Between two lines it is a signal, which must not end the program.
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGINT, &ignore, &before_);
  }
  ~TerminalReader() override {
    if (!history_file_.empty()) {
      const mode_t before = umask(077);
      history(history_, &event_, H_SAVE, history_file_.c_str());
      umask(before);
    }
    el_end(edit_);
    history_end(history_);
    sigaction(SIGINT, &before_, nullptr);
  }

  Result Next(const std::string& prompt, std::string& line) override {
    const std::string escape(1, kEscape);
    prompt_ = colors_ == Colors::kNone ? prompt
                                       : absl::StrCat(escape, "\x1b[1;36m", escape, prompt, escape, "\x1b[0m", escape);
    interrupted_ = false;
    int count = 0;
    const char* text = el_gets(edit_, &count);
    if (interrupted_) {
      std::fputs("^C\n", stdout);
      std::fflush(stdout);
      return Result::kInterrupted;
    }
    if (text == nullptr || count <= 0) {
      std::fputs("\n", stdout);
      std::fflush(stdout);
      return Result::kEnd;
    }
    line.assign(text, static_cast<size_t>(count));
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
    if (!line.empty()) history(history_, &event_, H_ENTER, line.c_str());
    return Result::kLine;
  }

 private:
  static TerminalReader& Self(EditLine* edit) {
    void* self = nullptr;
    el_get(edit, EL_CLIENTDATA, &self);
    return *static_cast<TerminalReader*>(self);
  }
  static char* Prompt(EditLine* edit) { return Self(edit).prompt_.data(); }
  static unsigned char Interrupt(EditLine* edit, int) {
    Self(edit).interrupted_ = true;
    return CC_EOF;
  }

  const std::string history_file_;
  const Colors colors_;
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
  HistEvent event_ = {};
  struct sigaction before_ = {};
  std::string prompt_;
  bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<LineReader> MakePipeReader(Io& io) { return std::make_unique<PipeReader>(io); }

std::unique_ptr<LineReader> MakeTerminalReader(const std::string& history_file, Colors colors) {
  return std::make_unique<TerminalReader>(history_file, colors);
}

std::string HistoryPath(const std::string& name) {
  const char *state = std::getenv("XDG_STATE_HOME"), *home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state != nullptr && *state != '\0') {
    folder = state;
  } else if (home != nullptr && *home != '\0') {
    folder = std::filesystem::path(home) / ".local" / "state";
  } else {
    return "";
  }
  folder /= "attn";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? "" : folder / name;
}

}  // namespace attnd
