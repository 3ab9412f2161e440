// Heat maps in a terminal: one map with labels and a legend, or many small ones in a grid.
#ifndef ATTND_CLIENT_RENDER_HEATMAP_H_
#define ATTND_CLIENT_RENDER_HEATMAP_H_

#include <string>
#include <vector>

#include "client/io.h"
#include "client/maps.h"

namespace attnd {

// How a map is drawn in `columns` terminal columns.
struct HeatmapPlan {
  int pool = 1;              // a cell is the largest of pool x pool weights: peaks stay
  int cell_columns = 1;      // terminal columns of a cell
  bool half_blocks = false;  // two rows of cells a line
  int label_columns = 0;     // of the row labels
  bool answers = false;      // beside each row its strongest columns
};

// The widest cells that fit. Labels take at most 14 columns, and are left out where they would leave no room.
HeatmapPlan PlanHeatmap(int columns, Colors colors, const std::vector<std::string>& row_labels,
                        const std::vector<std::string>& column_labels);

// The largest of each pool x pool block.
Matrix Pool(const Matrix& matrix, int pool);

// The cells alone: lines of equal width, `plan.cell_columns` times the matrix's columns.
std::vector<std::string> CellLines(const Matrix& matrix, const HeatmapPlan& plan, double maximum, Colors colors);

// The map with row labels to the left, column labels above, and each row's strongest answers to the right.
std::string Heatmap(const Matrix& matrix, const std::vector<std::string>& row_labels,
                    const std::vector<std::string>& column_labels, const Io& io);

// "0 ▕      ▏ 0.41": the palette in `cells` columns; 7 more for the numbers.
std::string ScaleBar(double maximum, int cells, const Io& io);
// "0 ▕      ▏ 0.41   weight; rows ask, columns answer". One line.
std::string Legend(double maximum, const Io& io);

// Small multiples, each under its name and on its own scale, as many a line as fit; `per_line` of them where that fits.
// `pool` becomes the pooling factor.
std::string SmallMultiples(const std::vector<HeadMap>& maps, const std::vector<std::string>& names, int per_line,
                           const Io& io, int& pool);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_HEATMAP_H_
