#include "client/render/svg.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/format.h"
#include "client/render/heatmap.h"
#include "client/render/palette.h"

namespace attnd {
namespace {

constexpr char kStyle[] =
    "<style>text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "fill:#d7d9e0}.t{font-size:18px;font-weight:600;fill:#fff}.s{font-size:12px;fill:#8b90a0}.q{fill:#8b90a0}</"
    "style>\n";
constexpr int kMargin = 24;
constexpr int kHeading = 64;    // from the top to the drawing, with title and subtitle
constexpr int kMaxCells = 256;  // a side; more are pooled

std::string Open(double width, double height, const std::string& title, const std::string& subtitle) {
  return absl::StrFormat(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
      "aria-label=\"%s\">\n%s<rect width=\"100%%\" height=\"100%%\" rx=\"12\" fill=\"#12131a\"/>\n"
      "<text class=\"t\" x=\"%d\" y=\"36\">%s</text>\n<text class=\"s\" x=\"%d\" y=\"56\">%s</text>\n",
      width, height, width, height, XmlEscape(title), kStyle, kMargin, XmlEscape(title), kMargin, XmlEscape(subtitle));
}

// ".41"; "1" for a whole.
std::string Short(double weight) {
  return weight >= 0.995 ? "1" : absl::StrFormat(".%02d", static_cast<int>(std::lround(weight * 100)));
}

// The cells of a map, its top left corner at (x, y). Cells at zero are the background, drawn once.
std::string Cells(const Matrix& matrix, double x, double y, double cell, double gap, bool numbers,
                  const std::vector<std::string>* rows, const std::vector<std::string>* columns) {
  const double maximum = matrix.Maximum();
  const Rgb zero = PaletteColor(0);
  std::string out = absl::StrFormat("<rect x=\"%.4g\" y=\"%.4g\" width=\"%.4g\" height=\"%.4g\" fill=\"%s\"/>\n", x, y,
                                    matrix.columns * cell, matrix.rows * cell, Hex(zero));
  for (int r = 0; r < matrix.rows; ++r) {
    for (int c = 0; c < matrix.columns; ++c) {
      const double weight = matrix.at(r, c);
      const double level = Level(weight, maximum);
      const Rgb color = PaletteColor(level);
      if (color == zero && rows == nullptr) continue;
      const std::string rect =
          absl::StrFormat("<rect x=\"%.5g\" y=\"%.5g\" width=\"%.4g\" height=\"%.4g\" fill=\"%s\"%s", x + c * cell,
                          y + r * cell, cell - gap, cell - gap, Hex(color), gap > 0 ? " rx=\"2\"" : "");
      if (rows == nullptr) {
        absl::StrAppend(&out, rect, "/>\n");
        continue;
      }
      absl::StrAppendFormat(&out, "%s><title>%s → %s  %.3f</title></rect>\n", rect, XmlEscape((*rows)[r]),
                            XmlEscape((*columns)[c]), weight);
      if (numbers && weight >= 0.1) {
        absl::StrAppendFormat(&out,
                              "<text x=\"%.5g\" y=\"%.5g\" text-anchor=\"middle\" style=\"font-size:%.3gpx;fill:%s;"
                              "pointer-events:none\">%s</text>\n",
                              x + c * cell + (cell - gap) / 2, y + r * cell + (cell - gap) / 2 + cell * 0.12,
                              cell * 0.34, level > 0.62 ? "#1a1020" : "#f5f0ff", Short(weight));
      }
    }
  }
  return out;
}

std::string LegendBar(double x, double y, double width, double maximum) {
  std::string out = "<defs><linearGradient id=\"scale\">";
  for (int i = 0; i <= 8; ++i) {
    absl::StrAppendFormat(&out, "<stop offset=\"%.4g\" stop-color=\"%s\"/>", i / 8.0, Hex(PaletteColor(i / 8.0)));
  }
  absl::StrAppendFormat(&out,
                        "</linearGradient></defs>\n<rect x=\"%.5g\" y=\"%.5g\" width=\"%.5g\" height=\"10\" rx=\"3\" "
                        "fill=\"url(#scale)\"/>\n",
                        x, y, width);
  // The scale is of square roots: a quarter of the weight stands at half the bar.
  for (const double at : {0.0, 0.5, 1.0}) {
    absl::StrAppendFormat(&out, "<text class=\"s\" x=\"%.5g\" y=\"%.5g\" text-anchor=\"middle\">%.2f</text>\n",
                          x + at * width, y + 25, at * at * maximum);
  }
  return out;
}

std::vector<std::string> PooledLabels(const std::vector<std::string>& labels, int cells, int pool) {
  std::vector<std::string> out;
  for (int i = 0; i < cells; ++i) out.push_back(labels[std::min<size_t>(i * pool, labels.size() - 1)]);
  return out;
}

double WidestPixels(const std::vector<std::string>& labels, double font) {
  int width = 1;
  for (const auto& label : labels) width = std::max(width, std::min(Width(label), 24));
  return width * font * 0.6;
}

}  // namespace

std::string XmlEscape(const std::string& text) {
  return absl::StrReplaceAll(Fit(text, 1 << 20), {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

std::string MapSvg(const HeadMap& map, const std::string& title, const std::string& subtitle,
                   const std::vector<std::string>& row_labels, const std::vector<std::string>& column_labels) {
  const int largest = std::max({1, map.weights.rows, map.weights.columns});
  const int pool = (largest + kMaxCells - 1) / kMaxCells;
  const Matrix cells = Pool(map.weights, pool);
  const auto rows = PooledLabels(row_labels, cells.rows, pool);
  const auto columns = PooledLabels(column_labels, cells.columns, pool);
  const int side = std::max(cells.rows, cells.columns);
  const double cell = std::clamp(std::floor(600.0 / side), 3.0, 40.0);
  const double font = std::min(13.0, cell * 0.9);
  const bool labelled = font >= 6;
  const double gap = cell >= 12 ? 1 : 0;
  const double left = kMargin + (labelled ? WidestPixels(rows, font) + 10 : 0);
  // Column labels lean by 45 degrees: they need 0.71 of their length upwards, and to the right.
  const double slant = labelled ? WidestPixels(columns, font) * 0.71 : 0;
  const double top = kHeading + 12 + slant + (labelled ? 10 : 0);
  const double map_width = cells.columns * cell, map_height = cells.rows * cell;
  const double width = std::max(left + map_width + std::max<double>(kMargin, slant + 8),
                                2.0 * kMargin + 7.2 * std::max(Width(title) * 1.45, Width(subtitle) * 0.95));
  const double bottom = top + map_height + 24;

  std::string out = Open(width, bottom + 40 + 12, title, subtitle);
  absl::StrAppend(&out, Cells(cells, left, top, cell, gap, cell >= 24, side <= 128 ? &rows : nullptr, &columns));
  if (labelled) {
    for (int r = 0; r < cells.rows; ++r) {
      absl::StrAppendFormat(&out,
                            "<text x=\"%.5g\" y=\"%.5g\" text-anchor=\"end\" style=\"font-size:%.3gpx\">%s</text>\n",
                            left - 8, top + r * cell + cell / 2 + font * 0.35, font, XmlEscape(Fit(rows[r], 24)));
    }
    for (int c = 0; c < cells.columns; ++c) {
      const double x = left + c * cell + cell / 2, y = top - 8;
      absl::StrAppendFormat(
          &out,
          "<text x=\"%.5g\" y=\"%.5g\" transform=\"rotate(-45 %.5g %.5g)\" style=\"font-size:%.3gpx\">%s</text>\n", x,
          y, x, y, font, XmlEscape(Fit(columns[c], 24)));
    }
  }
  const double bar = std::min(180.0, std::max(80.0, map_width * 0.4));
  absl::StrAppend(&out, LegendBar(left, bottom, bar, map.weights.Maximum()));
  absl::StrAppendFormat(&out, "<text class=\"s\" x=\"%.5g\" y=\"%.5g\">rows ask, columns answer%s</text>\n",
                        left + bar + 20, bottom + 10,
                        pool > 1 ? absl::StrFormat("; a cell is the largest of %d x %d", pool, pool) : "");
  return out + "</svg>\n";
}

std::string GridSvg(const std::vector<HeadMap>& maps, const std::vector<std::string>& names, int per_line,
                    const std::string& title, const std::string& subtitle) {
  const int count = static_cast<int>(maps.size());
  const int across = std::clamp(per_line, 1, count);
  const int largest = std::max({1, maps[0].weights.rows, maps[0].weights.columns});
  const int pool = (largest + 63) / 64;
  const int side = (largest + pool - 1) / pool;
  const double cell = std::max(1.0, std::floor((count > 24 ? 72.0 : 150.0) / side));
  const double tile = side * cell, pitch_x = tile + 16, pitch_y = tile + 34;
  const int down = (count + across - 1) / across;
  const double width = std::max(2.0 * kMargin + across * pitch_x - 16,
                                2.0 * kMargin + 7.2 * std::max(Width(title) * 1.45, Width(subtitle) * 0.95));
  std::string out = Open(width, kHeading + 20 + down * pitch_y + 8, title, subtitle);
  for (int m = 0; m < count; ++m) {
    const double x = kMargin + (m % across) * pitch_x, y = kHeading + 28 + (m / across) * pitch_y;
    absl::StrAppendFormat(&out, "<text class=\"s\" x=\"%.5g\" y=\"%.5g\">%s</text>\n", x, y - 6, XmlEscape(names[m]));
    absl::StrAppend(&out, Cells(Pool(maps[m].weights, pool), x, y, cell, cell >= 8 ? 1 : 0, false, nullptr, nullptr));
  }
  return out + "</svg>\n";
}

}  // namespace attnd
