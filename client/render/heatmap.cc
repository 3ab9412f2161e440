#include "client/render/heatmap.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/render/palette.h"

namespace attnd {
namespace {

constexpr int kLabelColumns = 14;
constexpr int kColumnLabelLines = 6;
constexpr int kAnswerColumns = 22;

int Ceil(int a, int b) { return (a + b - 1) / b; }

int Widest(const std::vector<std::string>& labels) {
  int width = 0;
  for (const auto& label : labels) width = std::max(width, Width(label));
  return width;
}

// The label of a cell that may stand for several rows or columns.
const std::string& CellLabel(const std::vector<std::string>& labels, int cell, int pool) {
  return labels[std::min<size_t>(static_cast<size_t>(cell) * pool, labels.size() - 1)];
}

// The first characters of each column's label, written downwards.
std::string ColumnLabels(const std::vector<std::string>& labels, int cells, const HeatmapPlan& plan) {
  std::vector<std::vector<std::string>> glyphs(cells);
  int lines = 0;
  for (int c = 0; c < cells; ++c) {
    // Where cells are narrow, only ASCII stays aligned; a wide character takes the whole cell.
    const std::string label = Fit(CellLabel(labels, c, plan.pool), 64);
    for (size_t i = 0; i < label.size() && glyphs[c].size() < kColumnLabelLines;) {
      size_t bytes = 1;
      while (i + bytes < label.size() && (static_cast<unsigned char>(label[i + bytes]) & 0xC0) == 0x80) ++bytes;
      glyphs[c].push_back(label.substr(i, bytes));
      i += bytes;
    }
    lines = std::max(lines, static_cast<int>(glyphs[c].size()));
  }
  std::string out;
  for (int line = 0; line < lines; ++line) {
    std::string text(plan.label_columns + 1, ' ');
    for (int c = 0; c < cells; ++c) {
      const int i = line - (lines - static_cast<int>(glyphs[c].size()));  // labels stand on the map
      std::string glyph = i >= 0 ? glyphs[c][i] : " ";
      if (Width(glyph) > plan.cell_columns) glyph = "·";
      absl::StrAppend(&text, glyph, std::string(std::max(0, plan.cell_columns - Width(glyph)), ' '));
    }
    absl::StripTrailingAsciiWhitespace(&text);
    absl::StrAppend(&out, text, "\n");
  }
  return out;
}

// "the 0.41  cat 0.17": the strongest answers of a row, as many as `room` columns hold, at most 3, none below 0.05 but
// the first.
std::string Answers(const Matrix& matrix, int row, const std::vector<std::string>& labels, int room) {
  std::vector<int> order(matrix.columns);
  std::iota(order.begin(), order.end(), 0);
  const int most = std::min(3, matrix.columns);
  std::partial_sort(order.begin(), order.begin() + most, order.end(),
                    [&](int a, int b) { return matrix.at(row, a) > matrix.at(row, b); });
  std::string out;
  for (int i = 0; i < most; ++i) {
    const float weight = matrix.at(row, order[i]);
    const std::string answer =
        absl::StrFormat("%s%s %.2f", i == 0 ? "" : "  ", Fit(labels[order[i]], kLabelColumns), weight);
    if (i > 0 && (weight < 0.05F || Width(out) + Width(answer) > room)) break;
    absl::StrAppend(&out, answer);
  }
  return out;
}

}  // namespace

HeatmapPlan PlanHeatmap(int columns, Colors colors, const std::vector<std::string>& row_labels,
                        const std::vector<std::string>& column_labels) {
  HeatmapPlan plan;
  const int count = std::max<int>(1, static_cast<int>(column_labels.size()));
  plan.label_columns = std::min(Widest(row_labels), kLabelColumns);
  if (columns - plan.label_columns - 1 < 16) plan.label_columns = 0;
  const int room = std::max(1, columns - plan.label_columns - 2);
  const int widest = colors == Colors::kNone ? 2 : 3;
  if (count * 2 <= room && row_labels.size() <= 60) {
    plan.cell_columns = std::min(widest, room / count);
    plan.answers = room - count * plan.cell_columns >= kAnswerColumns;
    return plan;
  }
  plan.half_blocks = colors != Colors::kNone;
  plan.cell_columns = plan.half_blocks ? 1 : 2;
  plan.pool = Ceil(count * plan.cell_columns, room);
  if (!plan.half_blocks && plan.pool > 1 && Ceil(count, room) < plan.pool) {
    plan.cell_columns = 1;
    plan.pool = Ceil(count, room);
  }
  return plan;
}

Matrix Pool(const Matrix& matrix, int pool) {
  if (pool <= 1) return matrix;
  Matrix pooled{Ceil(matrix.rows, pool), Ceil(matrix.columns, pool), {}};
  pooled.values.assign(static_cast<size_t>(pooled.rows) * pooled.columns, 0);
  for (int r = 0; r < matrix.rows; ++r) {
    for (int c = 0; c < matrix.columns; ++c) {
      float& cell = pooled.at(r / pool, c / pool);
      cell = std::max(cell, matrix.at(r, c));
    }
  }
  return pooled;
}

std::vector<std::string> CellLines(const Matrix& matrix, const HeatmapPlan& plan, double maximum, Colors colors) {
  std::vector<std::string> lines;
  for (int r = 0; r < matrix.rows; r += plan.half_blocks ? 2 : 1) {
    std::string line;
    for (int c = 0; c < matrix.columns; ++c) {
      const double level = Level(matrix.at(r, c), maximum);
      if (colors == Colors::kNone) {
        line.append(plan.cell_columns, Shade(level));
      } else if (!plan.half_blocks) {
        absl::StrAppend(&line, Background(PaletteColor(level), colors), std::string(plan.cell_columns, ' '));
      } else {
        absl::StrAppend(&line, Foreground(PaletteColor(level), colors));
        if (r + 1 < matrix.rows) {
          absl::StrAppend(&line, Background(PaletteColor(Level(matrix.at(r + 1, c), maximum)), colors));
        }
        absl::StrAppend(&line, "▀");
      }
    }
    lines.push_back(line + Reset(colors));
  }
  return lines;
}

std::string Heatmap(const Matrix& matrix, const std::vector<std::string>& row_labels,
                    const std::vector<std::string>& column_labels, const Io& io) {
  if (matrix.rows == 0 || matrix.columns == 0) return "";
  const HeatmapPlan plan = PlanHeatmap(io.columns, io.colors, row_labels, column_labels);
  const Matrix cells = Pool(matrix, plan.pool);
  std::string out = ColumnLabels(column_labels, cells.columns, plan);
  const std::vector<std::string> lines = CellLines(cells, plan, matrix.Maximum(), io.colors);
  const int rows_a_line = plan.half_blocks ? 2 : 1;
  const int room = io.columns - plan.label_columns - 1 - cells.columns * plan.cell_columns - 5;  // beside the map
  for (size_t i = 0; i < lines.size(); ++i) {
    const int row = static_cast<int>(i) * rows_a_line;
    std::string line = plan.label_columns == 0
                           ? ""
                           : absl::StrCat(PadLeft(CellLabel(row_labels, row, plan.pool), plan.label_columns), " ");
    // Without colours an empty cell would not show where the map ends.
    absl::StrAppend(&line, lines[i], io.colors == Colors::kNone ? "|" : "");
    if (plan.answers)
      absl::StrAppend(&line, Dim(absl::StrCat("  → ", Answers(matrix, row, column_labels, room)), io.colors));
    absl::StrAppend(&out, line, "\n");
  }
  if (plan.pool > 1) {
    absl::StrAppend(
        &out,
        Dim(absl::StrFormat("pooled to the width: a cell is the largest of %d x %d weights", plan.pool, plan.pool),
            io.colors),
        "\n");
  }
  return out;
}

std::string ScaleBar(double maximum, int cells, const Io& io) {
  std::string bar;
  for (int i = 0; i < cells; ++i) {
    const double level = (i + 0.5) / cells;
    if (io.colors == Colors::kNone) {
      bar.push_back(Shade(level));
    } else {
      absl::StrAppend(&bar, Background(PaletteColor(level), io.colors), " ");
    }
  }
  return absl::StrFormat("0 %s%s %.2f", bar, Reset(io.colors), maximum);
}

std::string Legend(double maximum, const Io& io) {
  return absl::StrCat(ScaleBar(maximum, 20, io), "  ", Dim("rows ask, columns answer", io.colors), "\n");
}

std::string SmallMultiples(const std::vector<HeadMap>& maps, const std::vector<std::string>& names, int per_line,
                           const Io& io, int& pool) {
  constexpr int kGap = 2;
  constexpr int kLeast = 6;  // columns; the names need them
  const int count = std::max(1, maps[0].weights.columns);
  const bool half_blocks = io.colors != Colors::kNone;
  const int want = std::clamp(count * (half_blocks ? 1 : 2), kLeast, 18);
  int across = std::max(1, (io.columns + kGap) / (want + kGap));
  // Several layers line up by head; one layer wraps, and is drawn larger.
  const bool layers = per_line > 1 && maps.size() > static_cast<size_t>(per_line);
  if (layers && (io.columns + kGap) / per_line - kGap >= kLeast) across = per_line;
  across = std::min<int>(across, static_cast<int>(maps.size()));
  const int width = std::max(1, (io.columns + kGap) / across - kGap);

  HeatmapPlan plan{.half_blocks = half_blocks};
  plan.pool = Ceil(count, std::min(width, 24));
  const int cells = Ceil(count, plan.pool);
  plan.cell_columns = half_blocks ? 1 : (cells * 2 <= width ? 2 : 1);
  pool = plan.pool;
  const int drawn = std::max(cells * plan.cell_columns, kLeast);

  std::string out;
  for (size_t first = 0; first < maps.size(); first += across) {
    const size_t last = std::min(maps.size(), first + across);
    std::string title;
    std::vector<std::string> lines;
    for (size_t m = first; m < last; ++m) {
      const std::string gap(m + 1 == last ? 0 : drawn + kGap - cells * plan.cell_columns, ' ');
      absl::StrAppend(&title, Bold(PadRight(names[m], drawn), io.colors), std::string(m + 1 == last ? 0 : kGap, ' '));
      // Each head on its own scale: what it does shows, not how sharply it does it beside others.
      const Matrix pooled = Pool(maps[m].weights, plan.pool);
      const auto drawn_lines = CellLines(pooled, plan, pooled.Maximum(), io.colors);
      lines.resize(std::max(lines.size(), drawn_lines.size()));
      for (size_t i = 0; i < drawn_lines.size(); ++i) absl::StrAppend(&lines[i], drawn_lines[i], gap);
    }
    absl::StrAppend(&out, first == 0 ? "" : "\n", title, "\n");
    for (const auto& line : lines) absl::StrAppend(&out, line, "\n");
  }
  return out;
}

}  // namespace attnd
