#include "core/attention/map_shape.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

// The tokens or words, in order; dropped tokens are in none.
std::vector<TokenSpan> Units(const AttentionSpec& spec, const AttentionInputs& inputs) {
  std::vector<TokenSpan> units;
  for (int i = 0; i < inputs.tokens; ++i) {
    const bool special = inputs.special[i] != 0;
    if (special && spec.special != SpecialTokens::kKeep) continue;
    const bool joins = spec.word_level && !units.empty() && units.back().end == i && !special &&
                       !inputs.special[i - 1] && inputs.word_ids[i] >= 0 &&
                       inputs.word_ids[i] == inputs.word_ids[i - 1];
    if (joins) {
      ++units.back().end;
    } else {
      units.push_back({i, i + 1});
    }
  }
  return units;
}

absl::StatusOr<std::vector<TokenSpan>> Inside(const std::vector<TokenSpan>& units, const IndexRange& range, int tokens,
                                              absl::string_view field) {
  const absl::StatusOr<TokenSpan> span = range.Resolve(tokens, field);
  if (!span.ok()) return span.status();
  std::vector<TokenSpan> inside;
  for (const TokenSpan& unit : units) {
    if (unit.begin < span->end && unit.end > span->begin) inside.push_back(unit);
  }
  if (inside.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": the range [", span->begin, ", ", span->end, ") of ",
                                                   tokens, " tokens holds only special tokens, which are left out"));
  }
  return inside;
}

std::vector<TokenSpan> Joined(const std::vector<TokenSpan>& spans) {
  std::vector<TokenSpan> joined;
  for (const TokenSpan& span : spans) {
    if (!joined.empty() && joined.back().end == span.begin) {
      joined.back().end = span.end;
    } else {
      joined.push_back(span);
    }
  }
  return joined;
}

bool AllSingle(const std::vector<TokenSpan>& spans) {
  return std::all_of(spans.begin(), spans.end(), [](const TokenSpan& span) { return span.size() == 1; });
}

}  // namespace

absl::StatusOr<MapShape> MapShape::Make(const AttentionSpec& spec, const AttentionInputs& inputs) {
  const std::vector<TokenSpan> units = Units(spec, inputs);
  absl::StatusOr<std::vector<TokenSpan>> rows = Inside(units, spec.queries, inputs.tokens, "queries");
  if (!rows.ok()) return rows.status();
  absl::StatusOr<std::vector<TokenSpan>> columns = Inside(units, spec.keys, inputs.tokens, "keys");
  if (!columns.ok()) return columns.status();

  MapShape shape;
  shape.row_tokens_ = *std::move(rows);
  shape.column_tokens_ = *std::move(columns);
  if (AllSingle(shape.column_tokens_)) shape.runs_ = Joined(shape.column_tokens_);
  if (spec.special == SpecialTokens::kRenormalize) shape.rest_ = Joined(units);
  shape.row_of_.assign(inputs.tokens, -1);
  shape.rank_of_.assign(inputs.tokens, -1);
  shape.pooled_index_.assign(shape.rows(), -1);
  for (int row = 0; row < shape.rows(); ++row) {
    const TokenSpan& span = shape.row_tokens_[row];
    std::fill(shape.row_of_.begin() + span.begin, shape.row_of_.begin() + span.end, row);
    for (int i = span.begin; i < span.end; ++i) shape.rank_of_[i] = shape.row_token_count_++;
    if (span.size() > 1) shape.pooled_index_[row] = shape.pooled_words_++;
  }
  return shape;
}

const float* MapShape::Columns(const float* row, float* scratch) const {
  float scale = 1.0f;
  if (!rest_.empty()) {
    float sum = 0.0f;
    for (const TokenSpan& span : rest_) sum = std::accumulate(row + span.begin, row + span.end, sum);
    scale = sum > 0.0f ? 1.0f / sum : 0.0f;
  } else if (runs_.size() == 1) {
    return row + runs_[0].begin;
  }

  float* out = scratch;
  if (!runs_.empty()) {
    for (const TokenSpan& run : runs_) {
      std::memcpy(out, row + run.begin, run.size() * sizeof(float));
      out += run.size();
    }
  } else {
    for (const TokenSpan& word : column_tokens_) *out++ = std::accumulate(row + word.begin, row + word.end, 0.0f);
  }
  if (!rest_.empty()) {
    for (int i = 0; i < columns(); ++i) scratch[i] *= scale;
  }
  return scratch;
}

}  // namespace attnd
