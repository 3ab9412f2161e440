#include "client/format.h"

#include <algorithm>
#include <ftxui/screen/string.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"

namespace attnd {
namespace {

// Bytes of the UTF-8 character that starts at text[i]; 1 for a broken one.
size_t CharacterBytes(absl::string_view text, size_t i) {
  const auto lead = static_cast<unsigned char>(text[i]);
  const size_t bytes = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  return std::min(bytes, text.size() - i);
}

// Without what a terminal would take as a command: control characters, C1 ones included. `kept` are let through.
std::string Printable(absl::string_view text, absl::string_view kept = "") {
  std::string clean;
  clean.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t bytes = CharacterBytes(text, i);
    const auto lead = static_cast<unsigned char>(text[i]);
    const bool control = lead < 0x20 || lead == 0x7F ||
                         (bytes == 2 && lead == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) ||
                         (bytes == 1 && lead >= 0x80);
    const bool shown = !control || kept.find(text[i]) != absl::string_view::npos;
    absl::StrAppend(&clean, shown ? text.substr(i, bytes) : " ");
    i += bytes;
  }
  return clean;
}

}  // namespace

std::string Thousands(uint64_t value) {
  std::string digits = absl::StrCat(value);
  for (int i = static_cast<int>(digits.size()) - 3; i > 0; i -= 3) digits.insert(i, ",");
  return digits;
}

std::string Bytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  int unit = 0;
  while (value >= 1024 && unit < 6) {
    value /= 1024;
    ++unit;
  }
  return absl::StrFormat(value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

std::string Milliseconds(double ms) {
  if (ms < 10) return absl::StrFormat("%.2f", ms);
  if (ms < 100) return absl::StrFormat("%.1f", ms);
  return Thousands(static_cast<uint64_t>(ms + 0.5));
}

std::string Count(uint64_t count, absl::string_view noun) {
  return absl::StrCat(Thousands(count), " ", noun, count == 1 ? "" : "s");
}

int Width(absl::string_view text) { return ftxui::string_width(std::string(text)); }

std::string Fit(absl::string_view text, int width) {
  const std::string clean = Printable(text);
  if (Width(clean) <= width) return clean;
  std::string fit;
  int used = 0;
  for (size_t i = 0; i < clean.size();) {
    const absl::string_view character = absl::string_view(clean).substr(i, CharacterBytes(clean, i));
    const int columns = Width(character);
    if (used + columns > width - 1) break;
    absl::StrAppend(&fit, character);
    used += columns;
    i += character.size();
  }
  return width > 0 ? fit + "…" : "";
}

std::string TerminalText(absl::string_view text) { return Printable(text, "\n\t"); }

std::string PadRight(absl::string_view text, int width) {
  std::string fit = Fit(text, width);
  return fit + std::string(std::max(0, width - Width(fit)), ' ');
}

std::string PadLeft(absl::string_view text, int width) {
  std::string fit = Fit(text, width);
  return std::string(std::max(0, width - Width(fit)), ' ') + fit;
}

std::string StageLine(const v1::Timings& t) {
  return absl::StrFormat("tokenise %.1f, queue %.1f, compute %.1f", t.tokenise_ns() / 1e6, t.queue_ns() / 1e6,
                         t.compute_ns() / 1e6);
}

void AddTimings(v1::Timings& sum, const v1::Timings& part) {
  sum.set_validate_ns(sum.validate_ns() + part.validate_ns());
  sum.set_tokenise_ns(sum.tokenise_ns() + part.tokenise_ns());
  sum.set_queue_ns(sum.queue_ns() + part.queue_ns());
  sum.set_compute_ns(sum.compute_ns() + part.compute_ns());
  sum.set_respond_ns(sum.respond_ns() + part.respond_ns());
  sum.set_total_ns(sum.total_ns() + part.total_ns());
}

std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<int>& left) {
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], Width(row[c]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c) {
      const bool is_left = std::find(left.begin(), left.end(), static_cast<int>(c)) != left.end();
      const std::string spaces(widths[c] - Width(row[c]), ' ');
      absl::StrAppend(&line, c == 0 ? "" : "  ", is_left ? "" : spaces, row[c], is_left ? spaces : "");
    }
    absl::StripTrailingAsciiWhitespace(&line);
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

}  // namespace attnd
