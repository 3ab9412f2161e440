#include "core/engine/wanted_rows.h"

#include <algorithm>
#include <cassert>
#include <limits>

namespace attnd {

WantedRows::WantedRows(const GenerationRequest& request, int layers, int heads)
    : sink_(request.attention),
      of_prompt_(request.prompt_attention),
      answer_(request.max_tokens > 0 ? static_cast<int>(request.prompt.size()) - 1 : std::numeric_limits<int>::max()),
      heads_(heads) {
  if (sink_ == nullptr) return;
  for (int layer = 0; layer < layers; ++layer) {
    for (int head = 0; head < heads; ++head) {
      wanted_.push_back(sink_->Wants(layer, head) ? wanted_count_++ : -1);
    }
  }
}

int WantedRows::From(int begin, int end) const {
  if (sink_ == nullptr) return end;
  int from = std::max(begin, std::min(answer_, end));
  if (begin < of_prompt_.end && end > of_prompt_.begin) from = std::min(from, std::max(begin, of_prompt_.begin));
  return from;
}

int WantedRows::KeepAtMost(int keys) const {
  if (wanted_count_ == 0) return std::numeric_limits<int>::max();
  return static_cast<int>(kKeptFloats / (int64_t{wanted_count_} * RoundUp(keys, kKeysStep)));
}

void WantedRows::Keep(int begin, int count) {
  kept_begin_ = begin;
  kept_count_ = sink_ == nullptr ? 0 : count;
  kept_keys_ = RoundUp(begin + count, kKeysStep);
  kept_.Reserve(int64_t{wanted_count_} * kept_count_ * kept_keys_);
}

void WantedRows::HandOn(int row) {
  const int kept = row - kept_begin_;
  if (sink_ == nullptr || kept < 0 || kept >= kept_count_) return;
  for (size_t i = 0; i < wanted_.size(); ++i) {
    const int head = wanted_[i];
    if (head < 0) continue;
    sink_->Tile({.layer = static_cast<int>(i) / heads_,
                 .head = static_cast<int>(i) % heads_,
                 .query_begin = row,
                 .query_count = 1,
                 .key_count = row + 1,
                 .probabilities = KeptRow(head, kept),
                 .stride = kept_keys_});
  }
}

void WantedRows::Tile(const AttentionTile& tile) {
  int end = tile.query_begin + tile.query_count;
  if (kept_count_ > 0 && end > kept_begin_) {
    KeepBack(tile, std::max(tile.query_begin, kept_begin_), end);
    end = kept_begin_;
  }
  Part(tile, of_prompt_.begin, std::min(of_prompt_.end, end));
  Part(tile, std::max(answer_, of_prompt_.end), end);
}

void WantedRows::Part(const AttentionTile& tile, int begin, int end) {
  begin = std::max(begin, tile.query_begin);
  if (begin >= end) return;
  const int skipped = begin - tile.query_begin;
  AttentionTile part = tile;
  part.query_begin = begin;
  part.query_count = end - begin;
  part.probabilities += int64_t{skipped} * tile.stride;
  if (part.entropy != nullptr) part.entropy += skipped;
  sink_->Tile(part);
}

void WantedRows::KeepBack(const AttentionTile& tile, int begin, int end) {
  const int head = wanted_[static_cast<size_t>(tile.layer) * heads_ + tile.head];
  if (head < 0) return;
  assert(end <= kept_begin_ + kept_count_ && tile.key_count <= kept_keys_);
  for (int row = begin; row < end; ++row) {
    const int r = row - tile.query_begin;
    std::copy_n(tile.probabilities + int64_t{r} * tile.stride, row + 1, KeptRow(head, row - kept_begin_));
  }
}

}  // namespace attnd
