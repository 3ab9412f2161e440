#include "client/render/generation.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/format.h"
#include "client/prompt_pieces.h"
#include "client/render/palette.h"

namespace attnd {
namespace {

class TextWriter : public GenerationWriter {
 public:
  TextWriter(Io& io, uint32_t answers) : io_(io), answers_(answers) {}

  absl::Status Take(const v1::GenerateResponse& event) override {
    if (event.has_delta()) {
      const v1::GenerationDelta& delta = event.delta();
      if (delta.answer() >= answers_.size())
        return absl::DataLossError("the server sent an answer that was not asked for");
      if (answers_.size() == 1) {
        Write(delta.text());
        io_.out.flush();
      } else {
        answers_[delta.answer()] += delta.text();
      }
    }
    if (event.has_end() && answers_.size() > 1 && event.end().answer() < answers_.size()) {
      const v1::GenerationEnd& end = event.end();
      WriteWhole(end.answer(), absl::StrCat(Count(end.tokens(), "token"), ", ", FinishReasonName(end.reason())));
    }
    return absl::OkStatus();
  }
  void Finish() override {
    // What Ctrl-C or a failure cut off.
    for (uint32_t answer = 0; answers_.size() > 1 && answer < answers_.size(); ++answer) {
      if (!answers_[answer].empty()) WriteWhole(answer, FinishReasonName(v1::FINISH_REASON_UNSPECIFIED));
    }
    EndLine();
  }

 private:
  void Write(const std::string& text) {
    if (text.empty()) return;
    io_.out << (io_.out_terminal ? TerminalText(text) : text);
    open_line_ = text.back() != '\n';
  }
  void WriteWhole(uint32_t answer, const std::string& how) {
    io_.out << Bold(absl::StrCat("answer ", answer, ": ", how), io_.colors) << "\n";
    Write(answers_[answer]);
    answers_[answer].clear();
    EndLine();
    io_.out << std::flush;
  }
  void EndLine() {
    if (open_line_) io_.out << "\n";
    open_line_ = false;
  }

  Io& io_;
  std::vector<std::string> answers_;  // what waits for its answer's end
  bool open_line_ = false;
};

struct LogprobRow {
  std::string text;
  float logprob = 0;
  std::vector<std::pair<std::string, float>> top;
};

std::string LogprobTable(const std::vector<LogprobRow>& rows, const Io& io) {
  bool any_top = false;
  int width = 5;
  for (const LogprobRow& row : rows) {
    any_top |= !row.top.empty();
    width = std::max(width, Width(row.text));
  }
  width = std::min(width, 20);
  std::string out = Bold(absl::StrFormat("%4s  %s  %8s  %6s%s", "#", PadRight("token", width), "logprob", "p",
                                         any_top ? "  most probable" : ""),
                         io.colors) +
                    "\n";
  for (size_t i = 0; i < rows.size(); ++i) {
    std::string line = absl::StrFormat("%4d  %s  %8.3f  %6.3f", i, PadRight(rows[i].text, width), rows[i].logprob,
                                       std::exp(rows[i].logprob));
    for (const auto& [token, logprob] : rows[i].top) {
      const std::string entry = absl::StrFormat("  %s %.3f", Fit(token, 16), std::exp(logprob));
      if (Width(line) + Width(entry) > io.columns) break;
      line += entry;
    }
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

class LogprobWriter : public GenerationWriter {
 public:
  LogprobWriter(Io& io, std::unique_ptr<GenerationWriter> text, const std::string* prompt_text)
      : io_(io), text_(std::move(text)), prompt_text_(prompt_text) {}

  absl::Status Take(const v1::GenerateResponse& event) override {
    if (event.has_start()) pieces_ = PromptPieces(event.start().prompt(), prompt_text_);
    if (event.has_summary()) {
      const auto& logprobs = event.summary().prompt_logprobs();
      for (size_t i = 0; i < static_cast<size_t>(logprobs.size()) && i + 1 < pieces_.size(); ++i) {
        prompt_.push_back({VisibleToken(pieces_[i + 1]), logprobs[static_cast<int>(i)], {}});
      }
    }
    if (event.has_delta() && event.delta().has_logprob()) {
      const v1::GenerationDelta& delta = event.delta();
      LogprobRow row{VisibleToken(delta.text()), delta.logprob(), {}};
      for (const v1::TokenLogprob& top : delta.top()) {
        row.top.emplace_back(VisibleToken(VocabularyText(top.token())), top.logprob());
      }
      if (delta.answer() >= answers_.size()) answers_.resize(delta.answer() + 1);
      answers_[delta.answer()].push_back(std::move(row));
    }
    return text_->Take(event);
  }
  void Finish() override {
    text_->Finish();
    if (!prompt_.empty()) io_.out << "\n" << Bold("prompt", io_.colors) << "\n" << LogprobTable(prompt_, io_);
    for (size_t i = 0; i < answers_.size(); ++i) {
      io_.out << "\n";
      if (answers_.size() > 1) io_.out << Bold(absl::StrCat("answer ", i), io_.colors) << "\n";
      io_.out << LogprobTable(answers_[i], io_);
    }
  }

 private:
  // How one token of a vocabulary reads.
  static std::string VocabularyText(const std::string& spelling) {
    google::protobuf::RepeatedPtrField<v1::Token> one;
    one.Add()->set_text(spelling);
    return PromptPieces(one, nullptr)[0];
  }

  Io& io_;
  const std::unique_ptr<GenerationWriter> text_;
  const std::string* const prompt_text_;
  std::vector<std::string> pieces_;
  std::vector<LogprobRow> prompt_;
  std::vector<std::vector<LogprobRow>> answers_;
};

}  // namespace

std::unique_ptr<GenerationWriter> MakeTextWriter(Io& io, uint32_t answers) {
  return std::make_unique<TextWriter>(io, std::max(1U, answers));
}

std::unique_ptr<GenerationWriter> MakeLogprobWriter(Io& io, std::unique_ptr<GenerationWriter> text,
                                                    const std::string* prompt_text) {
  return std::make_unique<LogprobWriter>(io, std::move(text), prompt_text);
}

std::string UsageLine(const GenerationUsage& usage, bool sampled) {
  std::string line = absl::StrCat(Count(usage.tokens, "token"), ", ", FinishReasonName(usage.reason));
  if (usage.tokens > 0) absl::StrAppend(&line, "; first after ", Milliseconds(usage.first_token_s * 1e3), " ms");
  if (usage.TokensPerSecond() > 0) absl::StrAppendFormat(&line, ", then %.1f tokens/s", usage.TokensPerSecond());
  absl::StrAppend(&line, "; prompt ", Count(usage.prompt_tokens, "token"));
  if (usage.shared_tokens > 0) absl::StrAppend(&line, " (", Thousands(usage.shared_tokens), " cached)");
  if (sampled && usage.seed != 0) absl::StrAppend(&line, "; seed ", usage.seed);
  return line;
}

std::string VisibleToken(absl::string_view text) {
  std::string visible = absl::StrReplaceAll(text, {{"\n", "\\n"}, {"\t", "\\t"}, {"\r", "\\r"}});
  if (!visible.empty() && visible.front() == ' ') visible.replace(0, 1, "·");
  return visible.empty() ? "(part)" : Fit(visible, 1000);
}

}  // namespace attnd
