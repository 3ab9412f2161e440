#include "core/attention/token_rows.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/attention/statistics_kernel.h"

namespace attnd {

TokenRows::TokenRows(HeadSelection selection, int context)
    : selection_(std::move(selection)), context_(context), rows_(selection_.size()) {}

void TokenRows::Tile(const AttentionTile& tile) {
  const int index = selection_.IndexOf(tile.layer, tile.head);
  if (index < 0) return;
  const int columns = tile.query_begin + tile.query_count;  // of the last row
  assert(columns <= context_ && columns <= tile.key_count);
  const float* row = tile.probabilities + int64_t{tile.query_count - 1} * tile.stride;
  // Tiles of a chunk may come in any order: the last row stays. A sequence computed again begins anew at its prompt,
  // and ends with a row at least as long.
  std::vector<float>& to = rows_[index];
  if (columns < static_cast<int>(to.size())) return;
  if (to.capacity() < static_cast<size_t>(columns)) to.reserve(std::min(context_, 2 * columns));
  to.assign(row, row + columns);
}

int TokenRows::position() const { return rows_.empty() ? -1 : static_cast<int>(rows_.front().size()) - 1; }

absl::Span<const float> TokenRows::Row(int index) const { return rows_[index]; }

std::vector<float> TokenRows::MeanRow() const {
  std::vector<float> mean(position() + 1, 0.0f);
  const float share = 1.0f / static_cast<float>(selection_.size());
  for (const std::vector<float>& row : rows_) {
    for (size_t k = 0; k < std::min(mean.size(), row.size()); ++k) mean[k] += share * row[k];
  }
  return mean;
}

TokenRowStatistics StatisticsOf(absl::Span<const float> row, absl::Span<const int32_t> ids, int prompt, int32_t token) {
  const size_t of_prompt = std::min(row.size(), static_cast<size_t>(prompt));
  const RowSums before = SumsOfRow(row.first(of_prompt), ids, token);
  const RowSums after = SumsOfRow(row.subspan(of_prompt), ids.subspan(of_prompt), token);
  const size_t of_answer = row.size() - of_prompt;
  const float prompt_mean = before.mass / static_cast<float>(std::max<size_t>(1, of_prompt));
  const float answer_mean = after.mass / static_cast<float>(std::max<size_t>(1, of_answer));
  const float both = prompt_mean + answer_mean;
  return {.entropy = before.entropy + after.entropy,
          .sink_mass = row.empty() ? 0.0f : row[0],
          .lookback_ratio = of_answer == 0 || both == 0 ? 1.0f : prompt_mean / both,
          .copy_mass = before.copied + after.copied};
}

WholeRows::WholeRows(AttentionSink& to, int layers, int heads, int tokens, TokenSpan rows)
    : to_(to),
      heads_(heads),
      tokens_(tokens),
      rows_(rows),
      seen_(static_cast<size_t>(layers) * heads * rows.size(), 0) {}

void WholeRows::Tile(const AttentionTile& tile) {
  thread_local std::vector<float> row;
  row.resize(std::max<size_t>(row.size(), tokens_));
  for (int r = 0; r < tile.query_count; ++r) {
    const int query = tile.query_begin + r;
    if (query < rows_.begin || query >= rows_.end) continue;
    const size_t head = static_cast<size_t>(tile.layer) * heads_ + tile.head;
    uint8_t& seen = seen_[head * rows_.size() + (query - rows_.begin)];
    if (std::exchange(seen, uint8_t{1}) != 0) continue;
    const float* from = tile.probabilities + int64_t{r} * tile.stride;
    const int columns = std::min(tile.key_count, tokens_);
    std::copy(from, from + columns, row.begin());
    std::fill(row.begin() + columns, row.begin() + tokens_, 0.0f);
    to_.Tile({.layer = tile.layer,
              .head = tile.head,
              .query_begin = query,
              .query_count = 1,
              .key_count = tokens_,
              .probabilities = row.data(),
              .stride = tokens_});
  }
}

}  // namespace attnd
