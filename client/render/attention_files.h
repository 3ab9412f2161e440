// Attention as files and as lists: JSON, .npy, one row as bars.
#ifndef ATTND_CLIENT_RENDER_ATTENTION_FILES_H_
#define ATTND_CLIENT_RENDER_ATTENTION_FILES_H_

#include <string>
#include <vector>

#include "client/io.h"
#include "client/maps.h"

namespace attnd {

// {"model", "tokens", "rows", "columns", "maps": [{"layer", "head", "weights"}], "statistics", "timings_ms"}, one line.
std::string AttentionJson(const AttentionMaps& maps);
// [maps, rows, columns].
std::string AttentionNpy(const AttentionMaps& maps);

// One row, a line a column: label, weight, bar; in the order of the text, or the largest 30 where there are more.
std::string RowBars(const std::vector<float>& weights, const std::vector<std::string>& labels, const Io& io);
// Mean of the rows listed.
std::vector<float> MeanRow(const Matrix& matrix, const std::vector<int>& rows);

// "broad: entropy 1.92 nats of 2.56, top 0.61, ...": two lines, a third where a token repeats.
std::string HeadSummary(const HeadStatistics& head, const std::string& kind);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_ATTENTION_FILES_H_
