// TileStatistics: everything the statistics need of a tile, in one pass over its rows. SumsOfRow: of one row, by parts.
#ifndef ATTND_CORE_ATTENTION_STATISTICS_KERNEL_H_
#define ATTND_CORE_ATTENTION_STATISTICS_KERNEL_H_

#include <cstdint>

#include "absl/types/span.h"
#include "core/attention/sink.h"

namespace attnd {

struct TileSums {
  int real_rows = 0;    // rows with a probability above 0
  double entropy = 0;   // sum over rows, nats
  double maxima = 0;    // sum over rows of the largest probability
  double distance = 0;  // sum of P_ij |i - j|
};

// What to compute beside the maxima.
struct TileWants {
  bool entropy = false;
  float* row_entropy = nullptr;  // [query_count], nats; null: only the sum. With `entropy`.
  float* columns = nullptr;      // [key_count], the sum over the tile's rows; null: neither this nor the distance
};

// Vectorised for the CPU at hand. Entropy errs by less than 1e-6 a row and nat.
TileSums TileStatistics(const AttentionTile& tile, const TileWants& wants);

struct RowSums {
  float entropy = 0;  // nats
  float mass = 0;     // sum of the probabilities
  float copied = 0;   // of those where ids[j] is the token
};

// As TileStatistics; `ids` are at least as many as the row's columns.
RowSums SumsOfRow(absl::Span<const float> row, absl::Span<const int32_t> ids, int32_t token);

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_STATISTICS_KERNEL_H_
