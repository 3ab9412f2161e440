#include "core/attention/recorder.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/attention/encoding.h"
#include "core/attention/rollout.h"

namespace attnd {
namespace {

// Scratch of one thread, kept between tiles.
struct Scratch {
  std::vector<float> columns;
  TopK top_k;
};
Scratch& ThreadScratch() {
  static thread_local Scratch scratch;
  return scratch;
}

// The zero bytes between the arrays.
void ClearPadding(const AttentionDataLayout& layout, uint8_t* data) {
  for (const AttentionSection& section : {layout.scales, layout.residuals, layout.values, layout.indices}) {
    const int64_t end = section.offset + section.bytes;
    std::fill(data + end, data + (end + 3) / 4 * 4, uint8_t{0});
  }
}

bool CopiesTiles(const AttentionPlan& plan) {
  const AttentionSpec& spec = plan.spec();
  return spec.reduce == AttentionReduce::kNone && spec.layout == AttentionLayout::kDense &&
         spec.dtype == AttentionDtype::kF32 && plan.shape().is_whole();
}

}  // namespace

AttentionRecorder::AttentionRecorder(std::shared_ptr<const AttentionPlan> plan)
    : plan_(std::move(plan)),
      heads_(plan_->heads()),
      copies_(CopiesTiles(*plan_)),
      wants_(static_cast<size_t>(plan_->layers()) * heads_, 0),
      layer_index_(plan_->layers(), -1),
      reduced_(plan_->reduced_rows(), plan_->tokens()),
      pooled_(plan_->pooled_rows(), plan_->columns()),
      data_(plan_->sizes().data) {
  if (!plan_->maps().empty()) {
    for (const LayerHead& item : plan_->selection().items()) {
      wants_[static_cast<size_t>(item.layer) * heads_ + item.head] = 1;
      if (layer_index_[item.layer] < 0) {
        layer_index_[item.layer] = static_cast<int>(layer_heads_.size());
        layer_heads_.push_back(0);
      }
      ++layer_heads_.back();
    }
    ClearPadding(plan_->layout(), data_.data());
  }
  for (const LayerHead& item : plan_->statistics_heads())
    wants_[static_cast<size_t>(item.layer) * heads_ + item.head] = 1;
  if (!plan_->statistics_heads().empty()) statistics_ = std::make_unique<StatisticsRecorder>(plan_);
}

void AttentionRecorder::Tile(const AttentionTile& tile) {
  assert(tile.key_count == plan_->tokens() && tile.query_begin + tile.query_count <= plan_->tokens());
  if (statistics_ != nullptr) {
    const int index = plan_->statistics_selection().IndexOf(tile.layer, tile.head);
    if (index >= 0) statistics_->Tile(index, tile);
  }
  if (!plan_->maps().empty()) MapTile(tile);
}

void AttentionRecorder::MapTile(const AttentionTile& tile) {
  const int map = plan_->selection().IndexOf(tile.layer, tile.head);
  if (map < 0) return;
  if (copies_) return CopyTile(map, tile);
  int64_t written = 0;
  for (int i = 0; i < tile.query_count; ++i) {
    const int token = tile.query_begin + i;
    const float* const row = tile.probabilities + static_cast<ptrdiff_t>(i) * tile.stride;
    written +=
        plan_->spec().reduce == AttentionReduce::kNone ? ShapeRow(map, token, row) : ReduceRow(tile.layer, token, row);
  }
  rows_written_.fetch_add(written, std::memory_order_relaxed);
}

void AttentionRecorder::CopyTile(int map, const AttentionTile& tile) {
  const size_t row_bytes = static_cast<size_t>(plan_->columns()) * sizeof(float);
  uint8_t* out = data_.data() + plan_->layout().values.offset +
                 (static_cast<size_t>(map) * plan_->rows() + tile.query_begin) * row_bytes;
  for (int i = 0; i < tile.query_count; ++i, out += row_bytes)
    std::memcpy(out, tile.probabilities + static_cast<ptrdiff_t>(i) * tile.stride, row_bytes);
  rows_written_.fetch_add(tile.query_count, std::memory_order_relaxed);
}

int AttentionRecorder::ReduceRow(int layer, int token, const float* row) {
  const int layer_index = layer_index_[layer];
  const int heads = layer_heads_[layer_index];
  const MapShape& shape = plan_->shape();
  using Operation = RowAccumulator::Operation;
  if (plan_->spec().reduce == AttentionReduce::kRollout) {
    const int64_t at = static_cast<int64_t>(layer_index) * plan_->tokens() + token;
    float* const mean = reduced_.Combine(at, row, Operation::kAdd, 1.0f / heads, heads);
    if (mean != nullptr) AddResidual(mean, plan_->tokens(), token);
    return mean != nullptr ? 1 : 0;
  }

  const int rank = shape.RankOf(token);
  if (rank < 0) return 0;
  const bool one_map = plan_->spec().reduce == AttentionReduce::kLayerMean;
  const int layers = static_cast<int>(layer_heads_.size());
  const int map = one_map ? 0 : layer_index;
  const float* const reduced = reduced_.Combine(
      static_cast<int64_t>(map) * shape.row_token_count() + rank, row,
      plan_->spec().reduce == AttentionReduce::kHeadMax ? Operation::kMax : Operation::kAdd,
      1.0f / static_cast<float>(one_map ? heads * layers : heads), one_map ? plan_->selection().size() : heads);
  return reduced != nullptr ? ShapeRow(map, token, reduced) : 0;
}

int AttentionRecorder::ShapeRow(int map, int token, const float* probabilities) {
  const MapShape& shape = plan_->shape();
  const int row = shape.RowOf(token);
  if (row < 0) return 0;
  std::vector<float>& scratch = ThreadScratch().columns;
  if (scratch.size() < static_cast<size_t>(shape.columns())) scratch.resize(shape.columns());
  const float* columns = shape.Columns(probabilities, scratch.data());
  const int pooled = shape.pooled_index()[row];
  if (pooled >= 0) {
    const int pieces = shape.row_tokens()[row].size();
    columns = pooled_.Combine(static_cast<int64_t>(map) * shape.pooled_words() + pooled, columns,
                              RowAccumulator::Operation::kAdd, 1.0f / static_cast<float>(pieces), pieces);
    if (columns == nullptr) return 0;
  }
  WriteRow(map, row, columns);
  return 1;
}

void AttentionRecorder::WriteRow(int map, int row, const float* columns) {
  const AttentionDataLayout& layout = plan_->layout();
  const int64_t at = static_cast<int64_t>(map) * plan_->rows() + row;
  const int count = plan_->values_per_row();
  uint8_t* const data = data_.data();
  const auto put = [&](const AttentionSection& section, float value) {
    std::memcpy(data + section.offset + at * static_cast<int64_t>(sizeof value), &value, sizeof value);
  };
  const float* values = columns;
  if (plan_->spec().layout == AttentionLayout::kTopK) {
    TopK& top_k = ThreadScratch().top_k;
    put(layout.residuals, top_k.Select(columns, plan_->columns(), count));
    values = top_k.values();
    uint8_t* out = data + layout.indices.offset + at * count * layout.index_bytes;
    for (int i = 0; i < count; ++i, out += layout.index_bytes)
      std::memcpy(out, &top_k.indices()[i], layout.index_bytes);
  }
  uint8_t* const out = data + layout.values.offset + at * count * layout.value_bytes;
  switch (plan_->spec().dtype) {
    case AttentionDtype::kF32:
      std::memcpy(out, values, count * sizeof(float));
      break;
    case AttentionDtype::kF16:
      EncodeF16(values, count, out);
      break;
    case AttentionDtype::kU8:
      put(layout.scales, EncodeU8(values, count, out));
      break;
  }
}

void AttentionRecorder::Rollout() {
  std::vector<int> tokens;
  for (int i = 0; i < plan_->tokens(); ++i) {
    if (plan_->shape().RowOf(i) >= 0) tokens.push_back(i);
  }
  const AlignedBuffer<float> rows =
      RolloutRows(reduced_.row(0), static_cast<int>(layer_heads_.size()), plan_->tokens(), tokens);
  for (size_t i = 0; i < tokens.size(); ++i) ShapeRow(0, tokens[i], rows.data() + i * plan_->tokens());
}

absl::StatusOr<AttentionResult> AttentionRecorder::Finish() {
  const bool rollout = plan_->spec().reduce == AttentionReduce::kRollout;
  const int64_t expected = plan_->maps().empty() ? 0
                           : rollout             ? plan_->reduced_rows()
                                                 : static_cast<int64_t>(plan_->maps().size()) * plan_->rows();
  const int64_t written = rows_written_.load(std::memory_order_relaxed);
  if (written != expected) {
    return absl::InternalError(absl::StrCat("attention: ", written, " of ", expected, " rows arrived"));
  }
  if (expected > 0 && rollout) Rollout();

  AttentionResult result;
  if (statistics_ != nullptr) {
    absl::StatusOr<AttentionStatistics> statistics = statistics_->Finish();
    if (!statistics.ok()) return statistics.status();
    result.statistics = *std::move(statistics);
  }
  result.plan = plan_;
  result.data = std::move(data_);
  return result;
}

}  // namespace attnd
