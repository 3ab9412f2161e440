#include "client/render/context_view.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/prompt_pieces.h"
#include "client/render/heatmap.h"
#include "client/render/palette.h"

namespace attnd {
namespace {

constexpr int kBelow = 4;  // lines under the text: the keys, the scale and its legend; and one for the cursor
constexpr int kScale = 20;
constexpr char kUnderline[] = "\x1b[4m";

// Builds lines piece by piece.
class Lines {
 public:
  Lines(int columns, Colors colors) : columns_(std::max(1, columns)), colors_(colors) {}

  void Add(const ContextPiece& piece) {
    const std::string text = TerminalText(piece.text);
    // A word that does not fit begins a line, where it needs no space before it.
    const bool wraps = used_ > 0 && text.find('\n') == std::string::npos && used_ + Width(text) > columns_ &&
                       !text.empty() && text[0] == ' ';
    if (wraps) Break();
    std::string run;
    for (size_t i = wraps ? 1 : 0; i < text.size();) {
      size_t end = i + 1;
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
      const std::string character = text[i] == '\t' ? " " : text.substr(i, end - i);
      i = end;
      if (character == "\n" || used_ + Width(character) > columns_) {
        Style(piece, run);
        run.clear();
        Break();
        if (character == "\n") continue;
      }
      run += character;
      used_ += Width(character);
    }
    Style(piece, run);
  }

  std::vector<std::string> Take() {
    if (!line_.empty()) Break();
    return std::move(lines_);
  }

 private:
  void Style(const ContextPiece& piece, const std::string& run) {
    if (run.empty()) return;
    if (colors_ == Colors::kNone) {
      line_ += run;
      return;
    }
    absl::StrAppend(&line_, piece.answer ? kUnderline : "",
                    piece.level >= 0 ? OnLevel(run, piece.level, colors_) : Bold(run, colors_));
  }
  void Break() {
    lines_.push_back(std::move(line_));
    line_.clear();
    used_ = 0;
  }

  const int columns_;
  const Colors colors_;
  std::vector<std::string> lines_;
  std::string line_;
  int used_ = 0;
};

class ContextWriter : public GenerationWriter {
 public:
  ContextWriter(Io& io, const std::string& heads, const std::string* prompt_text)
      : io_(io), heads_(heads), prompt_text_(prompt_text), drawn_(io.out_terminal && io.colors != Colors::kNone) {}

  absl::Status Take(const v1::GenerateResponse& event) override {
    if (event.has_start()) {
      for (std::string& text : PromptPieces(event.start().prompt(), prompt_text_)) {
        pieces_.push_back({std::move(text)});
      }
    }
    if (!event.has_delta()) return absl::OkStatus();
    const v1::GenerationDelta& delta = event.delta();
    const auto row = DenseRows(delta.attention(), v1::ATTENTION_DTYPE_F16, 1);
    if (!row.ok()) return row.status();
    if (row->size() != pieces_.size()) {
      return absl::DataLossError(
          absl::StrCat("the server sent weights on ", row->size(), " tokens of ", pieces_.size()));
    }
    sums_.resize(row->size());
    for (size_t i = 0; i < row->size(); ++i) sums_[i] += (*row)[i];
    ++tokens_;
    pieces_.push_back({delta.text(), -1, true});
    drawn_ ? Draw(*row, absl::StrCat("behind ‘", Fit(VisibleToken(delta.text()), 16), "’")) : WriteLine(*row);
    return absl::OkStatus();
  }

  void Finish() override {
    if (!drawn_ || tokens_ == 0) return;
    std::vector<float> mean(sums_.size());
    // A token of the answer was seen by those after it alone.
    for (size_t i = 0; i < sums_.size(); ++i) {
      const size_t prompt = pieces_.size() - tokens_, unseen = i < prompt ? 0 : i - prompt + 1;
      mean[i] = static_cast<float>(sums_[i] / static_cast<double>(tokens_ - unseen));
    }
    Draw(mean, absl::StrCat("behind the answer (mean of ", Count(tokens_, "token"), ")"));
  }

 private:
  // Weights on all pieces but the last, which has none.
  void Draw(const std::vector<float>& weights, const std::string& behind) {
    const double maximum = weights.size() > 1 ? *std::max_element(weights.begin() + 1, weights.end()) : weights[0];
    for (size_t i = 0; i < weights.size(); ++i) pieces_[i].level = Level(weights[i], maximum);
    std::vector<std::string> lines = ContextLines(pieces_, io_.columns, io_.colors);
    const size_t room = std::max(2, io_.rows - kBelow);
    if (lines.size() > room) {
      const size_t above = lines.size() - room + 1;
      lines.erase(lines.begin(), lines.begin() + static_cast<int64_t>(above));
      lines.insert(lines.begin(),
                   Dim(Fit(absl::StrCat("… ", Count(above, "line"), " above"), io_.columns), io_.colors));
    }
    lines.push_back(Fit(absl::StrCat("← ", StrongestKeys(weights, pieces_, io_.columns - 2)), io_.columns));
    const std::string legend = absl::StrFormat("%s, %s; first token %.2f", behind, heads_, weights[0]);
    const bool beside = io_.columns >= kScale + 12 + Width(legend);
    lines.push_back(ScaleBar(maximum, std::min(kScale, std::max(4, io_.columns - 10)), io_));
    if (!beside) lines.emplace_back();
    absl::StrAppend(&lines.back(), beside ? "  " : "", Dim(Fit(legend, io_.columns), io_.colors));
    if (lines_ > 0) io_.out << "\x1b[" << lines_ << "F";
    for (const std::string& line : lines) io_.out << line << "\x1b[K\n";
    io_.out << "\x1b[J" << std::flush;
    lines_ = lines.size();
  }

  void WriteLine(const std::vector<float>& weights) {
    constexpr int kLabel = 14;
    const std::string first = absl::StrFormat("  (first %.2f)", weights[0]);
    io_.out << PadRight(VisibleToken(pieces_.back().text), kLabel) << " ← "
            << StrongestKeys(weights, pieces_, std::max(16, io_.columns - kLabel - 3 - Width(first))) << first << "\n"
            << std::flush;
  }

  Io& io_;
  const std::string heads_;
  const std::string* const prompt_text_;
  const bool drawn_;
  std::vector<ContextPiece> pieces_;
  std::vector<double> sums_;  // of the weights on each piece
  size_t tokens_ = 0;
  size_t lines_ = 0;  // of the last picture
};

}  // namespace

std::vector<std::string> ContextLines(const std::vector<ContextPiece>& pieces, int columns, Colors colors) {
  Lines lines(columns, colors);
  for (const ContextPiece& piece : pieces) lines.Add(piece);
  return lines.Take();
}

std::string StrongestKeys(const std::vector<float>& weights, const std::vector<ContextPiece>& pieces, int room) {
  constexpr size_t kMost = 8;
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  if (order.size() > 1) order.erase(order.begin());
  const size_t count = std::min(kMost, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(count), order.end(),
                    [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  std::string keys;
  for (size_t i = 0; i < count; ++i) {
    const std::string key = absl::StrFormat("%s%s %.2f", i == 0 ? "" : "  ",
                                            Fit(VisibleToken(pieces[order[i]].text), 16), weights[order[i]]);
    if (i > 0 && Width(keys) + Width(key) > room) break;
    keys += key;
  }
  return keys;
}

std::unique_ptr<GenerationWriter> MakeContextWriter(Io& io, const std::string& heads, const std::string* prompt_text) {
  return std::make_unique<ContextWriter>(io, heads, prompt_text);
}

}  // namespace attnd
