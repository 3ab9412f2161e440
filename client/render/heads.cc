#include "client/render/heads.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/format.h"
#include "client/render/palette.h"

namespace attnd {
namespace {

constexpr float kTrait = 0.4F;  // a trait that takes this share of the weight names the head
constexpr float kSink = 0.5F;
constexpr float kBroad = 0.85F;  // of the largest entropy

float Value(const HeadRow& row, const std::string& by) {
  const auto& s = row.statistics;
  if (by == "entropy") return s.entropy;
  if (by == "confidence") return s.confidence;
  if (by == "distance") return s.distance;
  if (by == "self") return s.self;
  if (by == "previous") return s.previous;
  if (by == "next") return s.next;
  if (by == "special") return s.special_mass;
  return row.weight;
}

// ".41"; spaces for next to nothing, so that what is there stands out.
std::string Share(float value) { return value < 0.005F ? "·" : absl::StrFormat("%.2f", value); }

}  // namespace

const char* const kHeadSortKeys[10] = {"layer",    "entropy", "confidence", "distance", "self",
                                       "previous", "next",    "special",    "kind",     "weight"};

std::string HeadKind(const HeadStatistics& head, const std::vector<v1::Token>& tokens) {
  const int count = static_cast<int>(head.received_mass.size());
  if (count > 2 && count == static_cast<int>(tokens.size())) {
    const auto& mass = head.received_mass;
    const int top = static_cast<int>(std::max_element(mass.begin(), mass.end()) - mass.begin());
    if (mass[top] / static_cast<float>(count) >= kSink) {
      return top == 0 ? "first sink" : absl::StrCat(Fit(TokenLabel(tokens[top]), 12), " sink");
    }
  }
  const std::pair<float, const char*> traits[] = {
      {head.previous, "previous"}, {head.next, "next"}, {head.self, "self"}, {head.special_mass, "special"}};
  const auto* best = std::max_element(std::begin(traits), std::end(traits));
  if (best->first >= kTrait) return best->second;
  if (head.self + head.previous + head.next >= 0.5F) return "local";
  if (head.normalized_entropy >= kBroad) return "broad";
  if (head.confidence >= 0.6F) return "sharp";
  return "mixed";
}

absl::Status SortHeads(std::vector<HeadRow>& rows, const std::string& by) {
  if (std::find(std::begin(kHeadSortKeys), std::end(kHeadSortKeys), by) == std::end(kHeadSortKeys)) {
    return absl::InvalidArgumentError(absl::StrCat("--sort takes ", absl::StrJoin(kHeadSortKeys, ", ")));
  }
  std::stable_sort(rows.begin(), rows.end(), [&](const HeadRow& a, const HeadRow& b) {
    if (by == "layer") {
      return std::pair(a.statistics.layer, a.statistics.head) < std::pair(b.statistics.layer, b.statistics.head);
    }
    if (by == "kind") return a.kind < b.kind;
    return Value(a, by) > Value(b, by);
  });
  return absl::OkStatus();
}

std::string Bar(double share, int width, bool ascii) {
  share = std::clamp(share, 0.0, 1.0);
  if (ascii) return std::string(static_cast<int>(std::lround(share * width)), '#');
  static constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int eighths = static_cast<int>(std::lround(share * width * 8));
  std::string bar;
  for (int i = 0; i < eighths / 8; ++i) bar += "█";
  return bar + kEighths[eighths % 8];
}

std::string HeadTable(const std::vector<HeadRow>& rows, const Io& io) {
  const bool weights = std::any_of(rows.begin(), rows.end(), [](const HeadRow& row) { return row.weight >= 0; });
  const bool bars = io.columns >= (weights ? 80 : 72);
  std::vector<std::vector<std::string>> cells;
  std::vector<std::string> header = {"head"};
  if (weights) header.push_back("weight");
  header.push_back("entropy");
  if (bars) header.push_back("");
  for (const char* name : {"top", "dist", "self", "prev", "next", "special", "kind"}) header.push_back(name);
  cells.push_back(header);
  for (const HeadRow& row : rows) {
    const auto& s = row.statistics;
    std::vector<std::string> line = {absl::StrCat("L", s.layer, "H", s.head)};
    if (weights) line.push_back(absl::StrFormat("%.3f", row.weight));
    line.push_back(absl::StrFormat("%.2f", s.entropy));
    if (bars) line.push_back(PadRight(Bar(s.normalized_entropy, 10, !io.out_terminal), 10));
    line.push_back(Share(s.confidence));
    line.push_back(absl::StrFormat("%.1f", s.distance));
    for (const float value : {s.self, s.previous, s.next, s.special_mass}) line.push_back(Share(value));
    line.push_back(row.kind);
    cells.push_back(std::move(line));
  }
  const int bar_column = weights ? 3 : 2;
  std::vector<int> left = {0, static_cast<int>(header.size()) - 1};
  if (bars) left.push_back(bar_column);
  const std::string table = Table(cells, left);
  const size_t end = table.find('\n');
  return absl::StrCat(Bold(table.substr(0, end), io.colors), table.substr(end));
}

nlohmann::json HeadJson(const HeadStatistics& head, const std::string& kind) {
  return {{"layer", head.layer},
          {"head", head.head},
          {"kind", kind},
          {"entropy", head.entropy},
          {"normalized_entropy", head.normalized_entropy},
          {"confidence", head.confidence},
          {"distance", head.distance},
          {"self", head.self},
          {"previous", head.previous},
          {"next", head.next},
          {"special_mass", head.special_mass}};
}

}  // namespace attnd
