#include "core/attention/growing_maps.h"

#include <algorithm>
#include <cstring>

namespace attnd {

void GrowingMaps::Tile(const AttentionTile& tile) {
  const int index = selection_.IndexOf(tile.layer, tile.head);
  if (index < 0) return;
  for (int r = 0; r < tile.query_count; ++r) {
    const int64_t row = tile.query_begin + r;
    if (row >= tokens_) return;
    const int64_t columns = std::min<int64_t>(row + 1, tile.key_count);  // what follows stays 0
    std::copy_n(tile.probabilities + int64_t{r} * tile.stride, columns,
                maps_ + (index * int64_t{tokens_} + row) * tokens_);
  }
}

void GrowingMaps::Shrink(int kept) {
  if (kept == tokens_) return;
  float* to = maps_;
  for (int64_t map = 0; map < selection_.size(); ++map) {
    // In order: no row lands on one that is still to be moved.
    for (int row = 0; row < kept; ++row, to += kept) {
      std::memmove(to, maps_ + (map * tokens_ + row) * tokens_, static_cast<size_t>(kept) * sizeof(float));
    }
  }
}

}  // namespace attnd
