#include "client/render/heads.h"

#include <algorithm>
#include <climits>
#include <cmath>

#include "absl/container/flat_hash_map.h"
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
constexpr float kSeen = 0.005F;  // prints as 0.01
// Induction and duplicate are measured in the rows whose token has occurred before: in the others, half of a text said
// twice, such a head rests on a sink. Half of the weight there leaves less to everything else. A row or two do not show
// what a head does, nor does a text such as a list with its commas, where a uniform row has much of that weight.
constexpr double kRepeat = 0.5;
constexpr double kRepeatingRows = 0.2;  // at least, of all rows
constexpr double kChance = 0.2;         // at most, a uniform row's weight

float Value(const HeadRow& row, const std::string& by) {
  const auto& s = row.statistics;
  if (by == "entropy") return s.entropy;
  if (by == "confidence") return s.confidence;
  if (by == "distance") return s.distance;
  if (by == "self") return s.self;
  if (by == "previous") return s.previous;
  if (by == "next") return s.next;
  if (by == "special") return s.special_mass;
  if (by == "induction") return s.induction;
  if (by == "duplicate") return s.duplicate;
  return row.weight;
}

// ".41"; spaces for next to nothing, so that what is there stands out.
std::string Share(float value) { return value < kSeen ? "·" : absl::StrFormat("%.2f", value); }

// "induction" or "duplicate" for a head that does so wherever it can, else null.
const char* RepeatKind(const HeadStatistics& head, const std::vector<v1::Token>& tokens) {
  const float share = std::max(head.induction, head.duplicate);
  if (share <= std::max({head.previous, head.next, head.self})) return nullptr;
  absl::flat_hash_map<int32_t, int> occurrences;
  double rows = 0, chance = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int earlier = occurrences[tokens[i].id()]++;
    if (earlier > 0) ++rows;
    chance += earlier / (i + 1.0);
  }
  const double count = static_cast<double>(tokens.size());
  const bool tells = rows >= kRepeatingRows * count && chance <= kChance * rows;
  if (!tells || share * count < kRepeat * rows) return nullptr;
  return head.induction >= head.duplicate ? "induction" : "duplicate";
}

struct Column {
  std::vector<std::string> cells;  // the header first
  int spare = 0;                   // above 0: may go, the lowest first
  bool left = false;
};

int TotalWidth(const std::vector<Column>& columns) {
  int width = 0;
  for (const Column& column : columns) {
    int widest = 0;
    for (const std::string& cell : column.cells) widest = std::max(widest, Width(cell));
    width += widest + (width > 0 ? 2 : 0);
  }
  return width;
}

bool DropSpare(std::vector<Column>& columns) {
  const auto rank = [](const Column& column) { return column.spare > 0 ? column.spare : INT_MAX; };
  const auto spare = std::min_element(columns.begin(), columns.end(),
                                      [&](const Column& a, const Column& b) { return rank(a) < rank(b); });
  if (spare == columns.end() || spare->spare == 0) return false;
  columns.erase(spare);
  return true;
}

}  // namespace

const char* const kHeadSortKeys[12] = {"layer", "entropy", "confidence", "distance", "self",      "previous",
                                       "next",  "special", "kind",       "weight",   "induction", "duplicate"};

std::string HeadKind(const HeadStatistics& head, const std::vector<v1::Token>& tokens) {
  if (const char* repeat = RepeatKind(head, tokens); repeat != nullptr) return repeat;
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

bool HasRepeats(const HeadStatistics& head) { return std::max(head.induction, head.duplicate) >= kSeen; }

std::string HeadTable(const std::vector<HeadRow>& rows, const Io& io) {
  const auto any = [&](const auto& has) { return std::any_of(rows.begin(), rows.end(), has); };
  std::vector<Column> columns;
  const auto add = [&](Column column, const auto& cell) {
    for (const HeadRow& row : rows) column.cells.push_back(cell(row));
    columns.push_back(std::move(column));
  };
  const auto add_share = [&](const char* name, float HeadStatistics::* value, int spare = 0) {
    if (!any([&](const HeadRow& row) { return row.statistics.*value >= kSeen; })) spare = 2;
    add({{name}, spare}, [&](const HeadRow& row) { return Share(row.statistics.*value); });
  };
  add({{"head"}, 0, true},
      [](const HeadRow& row) { return absl::StrCat("L", row.statistics.layer, "H", row.statistics.head); });
  if (any([](const HeadRow& row) { return row.weight >= 0; })) {
    add({{"weight"}}, [](const HeadRow& row) { return absl::StrFormat("%.3f", row.weight); });
  }
  add({{"entropy"}}, [](const HeadRow& row) { return absl::StrFormat("%.2f", row.statistics.entropy); });
  add({{""}, 1, true},
      [&](const HeadRow& row) { return PadRight(Bar(row.statistics.normalized_entropy, 10, !io.out_terminal), 10); });
  add_share("top", &HeadStatistics::confidence, 4);
  add({{"dist"}, 3}, [](const HeadRow& row) { return absl::StrFormat("%.1f", row.statistics.distance); });
  add_share("self", &HeadStatistics::self);
  add_share("prev", &HeadStatistics::previous);
  add_share("next", &HeadStatistics::next);
  add_share("special", &HeadStatistics::special_mass);
  if (any([](const HeadRow& row) { return HasRepeats(row.statistics); })) {
    add_share("induct", &HeadStatistics::induction);
    add_share("dup", &HeadStatistics::duplicate);
  }
  add({{"kind"}, 0, true}, [](const HeadRow& row) { return row.kind; });
  while (TotalWidth(columns) > io.columns && DropSpare(columns)) {
  }

  std::vector<std::vector<std::string>> lines(rows.size() + 1);
  std::vector<int> left;
  for (size_t c = 0; c < columns.size(); ++c) {
    for (size_t i = 0; i < lines.size(); ++i) lines[i].push_back(columns[c].cells[i]);
    if (columns[c].left) left.push_back(static_cast<int>(c));
  }
  const std::string table = Table(lines, left);
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
          {"special_mass", head.special_mass},
          {"induction", head.induction},
          {"duplicate", head.duplicate}};
}

}  // namespace attnd
