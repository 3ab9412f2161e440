#include "client/render/attention_files.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/npy.h"
#include "client/render/heads.h"
#include "client/render/palette.h"
#include "nlohmann/json.hpp"

namespace attnd {

std::string AttentionJson(const AttentionMaps& maps) {
  using nlohmann::json;
  json tokens = json::array(), list = json::array(), statistics = json::array();
  for (const auto& token : maps.tokens) {
    tokens.push_back({{"id", token.id()},
                      {"text", token.text()},
                      {"begin", token.begin()},
                      {"end", token.end()},
                      {"special", token.special()},
                      {"word", token.word()}});
  }
  for (const HeadMap& map : maps.maps) {
    json rows = json::array();
    for (int r = 0; r < map.weights.rows; ++r) {
      const auto* begin = map.weights.values.data() + static_cast<size_t>(r) * map.weights.columns;
      rows.push_back(std::vector<float>(begin, begin + map.weights.columns));
    }
    list.push_back({{"layer", map.layer}, {"head", map.head}, {"weights", std::move(rows)}});
  }
  for (const auto& s : maps.statistics) {
    statistics.push_back(HeadJson(s, HeadKind(s, maps.tokens)));
    if (!s.received_mass.empty()) {
      statistics.back()["received_mass"] = s.received_mass;
    }
  }
  const json out = {{"model", maps.model},
                    {"truncated", maps.truncated},
                    {"tokens", tokens},
                    {"rows", maps.row_labels},
                    {"columns", maps.column_labels},
                    {"maps", list},
                    {"statistics", statistics},
                    {"timings_ms",
                     {{"tokenise", maps.timings.tokenise_ns() / 1e6},
                      {"queue", maps.timings.queue_ns() / 1e6},
                      {"compute", maps.timings.compute_ns() / 1e6},
                      {"total", maps.timings.total_ns() / 1e6}}}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string AttentionNpy(const AttentionMaps& maps) {
  std::vector<float> values;
  for (const HeadMap& map : maps.maps)
    values.insert(values.end(), map.weights.values.begin(), map.weights.values.end());
  const int64_t rows = maps.maps.empty() ? 0 : maps.maps[0].weights.rows;
  const int64_t columns = maps.maps.empty() ? 0 : maps.maps[0].weights.columns;
  return NpyFile({static_cast<int64_t>(maps.maps.size()), rows, columns}, values);
}

std::string RowBars(const std::vector<float>& weights, const std::vector<std::string>& labels, const Io& io) {
  constexpr size_t kMost = 30;
  std::vector<size_t> order(std::min(weights.size(), labels.size()));
  std::iota(order.begin(), order.end(), 0);
  const size_t all = order.size();
  if (all > kMost) {
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weights[a] > weights[b]; });
    order.resize(kMost);
  }
  int label_width = 1;
  float maximum = 0;
  for (const size_t i : order) {
    label_width = std::max(label_width, std::min(20, Width(labels[i])));
    maximum = std::max(maximum, weights[i]);
  }
  const int room = std::clamp(io.columns - label_width - 8, 5, 50);
  std::string out;
  for (const size_t i : order) {
    const double share = maximum > 0 ? weights[i] / maximum : 0;
    const std::string bar = Bar(share, room, !io.out_terminal);
    absl::StrAppendFormat(&out, "%s %.2f %s%s%s\n", PadLeft(labels[i], label_width), weights[i],
                          Foreground(PaletteColor(0.35 + 0.5 * share), io.colors), bar, Reset(io.colors));
  }
  if (all > kMost) absl::StrAppend(&out, "the ", kMost, " largest of ", all, "\n");
  return out;
}

std::vector<float> MeanRow(const Matrix& matrix, const std::vector<int>& rows) {
  std::vector<float> mean(matrix.columns);
  for (const int row : rows) {
    for (int c = 0; c < matrix.columns; ++c) mean[c] += matrix.at(row, c) / static_cast<float>(rows.size());
  }
  return mean;
}

std::string HeadSummary(const HeadStatistics& s, const std::string& kind) {
  const double most = s.normalized_entropy > 0 ? s.entropy / s.normalized_entropy : 0;
  std::string summary = absl::StrFormat(
      "%s: entropy %.2f nats of %.2f, top %.2f, distance %.1f\nself %.2f, previous %.2f, next %.2f, special %.2f\n",
      kind, s.entropy, most, s.confidence, s.distance, s.self, s.previous, s.next, s.special_mass);
  if (HasRepeats(s)) absl::StrAppendFormat(&summary, "induction %.2f, duplicate %.2f\n", s.induction, s.duplicate);
  return summary;
}

}  // namespace attnd
