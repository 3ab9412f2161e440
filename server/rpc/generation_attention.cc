#include "server/rpc/generation_attention.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/engine/wanted_rows.h"
#include "server/ops/status.h"
#include "server/rpc/attention_spec.h"

namespace attnd {
namespace {

static_assert(std::endian::native == std::endian::little, "values go out as they lie");

constexpr int64_t kDraftsMax = 32;  // of a step: --lookup-tokens

// Columns of the row behind the last token of an answer.
int LastColumns(int prompt, int max_tokens, int context) {
  return std::max(
      0, std::min<int>(context, static_cast<int>(std::min<int64_t>(context, int64_t{prompt} + max_tokens))) - 1);
}

template <typename T>
void Append(const T* values, int count, std::string& to) {
  to.append(reinterpret_cast<const char*>(values), static_cast<size_t>(count) * sizeof(T));
}

}  // namespace

int64_t TokenAttentionSpec::Bytes(int columns) const {
  const int64_t heads = sent_heads();
  int64_t bytes = statistics ? heads * 4 * int64_t{sizeof(float)} : 0;
  if (!rows) return bytes;
  const int64_t value_bytes = half ? 2 : 4;
  if (top_k == 0) return bytes + heads * columns * value_bytes;
  return bytes +
         heads * (std::min(top_k, columns) * (value_bytes + int64_t{sizeof(uint32_t)}) + int64_t{sizeof(float)});
}

int64_t TokenAttentionSpec::AnswerBytes(int prompt, int max_tokens, int context) const {
  int64_t bytes = 0;
  for (int columns = prompt; max_tokens > 0 && columns <= LastColumns(prompt, max_tokens, context); ++columns) {
    bytes += Bytes(columns);
  }
  return bytes;
}

int64_t TokenAttentionSpec::HeldBytes(int prompt, int max_tokens, int context) const {
  const int columns = LastColumns(prompt, max_tokens, context);
  const int64_t row = int64_t{selection.size()} * columns;
  // Beside the newest row those of drafts that wait for their verdict.
  const int64_t kept = std::min(WantedRows::kKeptFloats, kDraftsMax * row);
  return (row + kept) * int64_t{sizeof(float)} + 2 * Bytes(columns);
}

absl::StatusOr<TokenAttentionSpec> ToTokenAttentionSpec(const v1::GenerationAttention& attention, int layers, int heads,
                                                        absl::string_view field) {
  const auto fault = [&](absl::string_view part, absl::string_view text) {
    return FieldError(absl::StrCat(field, ".", part), text);
  };
  auto selection = HeadSelection::Parse(attention.select(), layers, heads, "select");
  if (!selection.ok()) return AttentionError(selection.status(), field);
  TokenAttentionSpec spec{.selection = *std::move(selection)};
  if (!v1::AttentionContent_IsValid(attention.content())) return fault("content", "unknown value");
  spec.rows = attention.content() != v1::ATTENTION_CONTENT_STATISTICS;
  spec.statistics = attention.content() != v1::ATTENTION_CONTENT_MAPS;
  if (attention.reduce() != v1::ATTENTION_REDUCE_NONE && attention.reduce() != v1::ATTENTION_REDUCE_HEAD_MEAN) {
    return fault("reduce", "rows of tokens come as they are (NONE) or as one mean (HEAD_MEAN)");
  }
  spec.head_mean = attention.reduce() == v1::ATTENTION_REDUCE_HEAD_MEAN;
  if (attention.dtype() != v1::ATTENTION_DTYPE_F32 && attention.dtype() != v1::ATTENTION_DTYPE_F16) {
    return fault("dtype", "rows of tokens come in F32 or F16");
  }
  spec.half = attention.dtype() == v1::ATTENTION_DTYPE_F16;
  if (!v1::AttentionLayout_IsValid(attention.layout())) return fault("layout", "unknown value");
  if (attention.layout() == v1::ATTENTION_LAYOUT_TOP_K) {
    if (attention.top_k() < 1) return fault("top_k", "0: at least 1");
    spec.top_k = static_cast<int>(std::min<uint32_t>(attention.top_k(), std::numeric_limits<int>::max()));
  }
  return spec;
}

void FillHeads(const TokenAttentionSpec& spec, v1::GenerationStart& start) {
  const std::vector<LayerHead> mean = {{-1, -1}};
  for (const LayerHead& head : spec.head_mean ? mean : spec.selection.items()) {
    start.add_attention_layers(head.layer);
    start.add_attention_heads(head.head);
  }
}

TokenAttention::TokenAttention(const TokenAttentionSpec& spec, std::vector<int32_t> prompt, int context)
    : spec_(spec), prompt_(static_cast<int>(prompt.size())), ids_(std::move(prompt)), rows_(spec.selection, context) {}

void TokenAttention::AddRow(absl::Span<const float> row, v1::TokenAttention& to) {
  const int columns = static_cast<int>(row.size());
  const float* values = row.data();
  int count = columns;
  if (spec_.top_k > 0) {
    count = std::min(spec_.top_k, columns);
    to.add_residual(top_.Select(row.data(), columns, count));
    values = top_.values();
    Append(top_.indices(), count, *to.mutable_indices());
  }
  std::string& bytes = *to.mutable_values();
  if (!spec_.half) return Append(values, count, bytes);
  const size_t begin = bytes.size();
  bytes.resize(begin + 2 * static_cast<size_t>(count));
  EncodeF16(values, count, reinterpret_cast<uint8_t*>(bytes.data() + begin));
}

void TokenAttention::Fill(int32_t token, v1::TokenAttention& to) {
  to.set_query(static_cast<uint32_t>(rows_.position()));
  to.set_columns(static_cast<uint32_t>(rows_.position() + 1));
  const std::vector<float> mean = spec_.head_mean ? rows_.MeanRow() : std::vector<float>();
  if (spec_.rows) to.mutable_values()->reserve(static_cast<size_t>(spec_.Bytes(rows_.position() + 1)));
  for (int h = 0; h < spec_.sent_heads(); ++h) {
    const absl::Span<const float> row = spec_.head_mean ? absl::MakeConstSpan(mean) : rows_.Row(h);
    if (spec_.rows) AddRow(row, to);
    if (!spec_.statistics) continue;
    const TokenRowStatistics statistics = StatisticsOf(row, ids_, prompt_, token);
    to.add_entropy(statistics.entropy);
    to.add_sink_mass(statistics.sink_mass);
    to.add_lookback_ratio(statistics.lookback_ratio);
    to.add_copy_mass(statistics.copy_mass);
  }
  ids_.push_back(token);
}

}  // namespace attnd
