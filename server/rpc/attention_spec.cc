#include "server/rpc/attention_spec.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/ops/status.h"

namespace attnd {
namespace {

constexpr uint32_t kDefaultStatistics =
    kStatMeanEntropy | kStatConfidence | kStatDistance | kStatSelf | kStatPrevious | kStatNext | kStatSpecialMass;

// 0: unknown.
uint32_t StatisticBit(int statistic) {
  switch (statistic) {
    case v1::ATTENTION_STATISTIC_ENTROPY:
      return kStatMeanEntropy;
    case v1::ATTENTION_STATISTIC_CONFIDENCE:
      return kStatConfidence;
    case v1::ATTENTION_STATISTIC_DISTANCE:
      return kStatDistance;
    case v1::ATTENTION_STATISTIC_SELF:
      return kStatSelf;
    case v1::ATTENTION_STATISTIC_PREVIOUS:
      return kStatPrevious;
    case v1::ATTENTION_STATISTIC_NEXT:
      return kStatNext;
    case v1::ATTENTION_STATISTIC_SPECIAL_MASS:
      return kStatSpecialMass;
    case v1::ATTENTION_STATISTIC_ROW_ENTROPY:
      return kStatEntropy;
    case v1::ATTENTION_STATISTIC_RECEIVED_MASS:
      return kStatReceivedMass;
    case v1::ATTENTION_STATISTIC_INDUCTION:
      return kStatInduction;
    case v1::ATTENTION_STATISTIC_DUPLICATE:
      return kStatDuplicate;
    default:
      return 0;
  }
}

// proto3 lets unknown numbers through.
absl::Status CheckEnums(const v1::AttentionSpec& spec, absl::string_view field) {
  const struct {
    const char* name;
    bool valid;
  } fields[] = {{"content", v1::AttentionContent_IsValid(spec.content())},
                {"reduce", v1::AttentionReduce_IsValid(spec.reduce())},
                {"layout", v1::AttentionLayout_IsValid(spec.layout())},
                {"dtype", v1::AttentionDType_IsValid(spec.dtype())},
                {"special_tokens", v1::SpecialTokens_IsValid(spec.special_tokens())}};
  for (const auto& entry : fields) {
    if (!entry.valid) return FieldError(absl::StrCat(field, ".", entry.name), "unknown value");
  }
  return absl::OkStatus();
}

IndexRange ToRange(const v1::TokenRange& range) {
  IndexRange result;
  if (range.has_begin()) result.begin = range.begin();
  if (range.has_end()) result.end = range.end();
  return result;
}

absl::Status ParseSelection(const std::string& text, int layers, int heads, absl::string_view name,
                            absl::string_view field, std::optional<HeadSelection>& selection) {
  if (text.empty()) return absl::OkStatus();
  auto parsed = HeadSelection::Parse(text, layers, heads, name);
  if (!parsed.ok()) return AttentionError(parsed.status(), field);
  selection = *std::move(parsed);
  return absl::OkStatus();
}

}  // namespace

absl::Status AttentionError(const absl::Status& status, absl::string_view field) {
  if (status.ok()) return status;
  const absl::string_view message = status.message();
  for (absl::string_view name : {"select", "queries", "keys", "top_k", "statistics", "statistics_select"}) {
    if (absl::StartsWith(message, absl::StrCat(name, ": "))) {
      return WithField(absl::Status(status.code(), message.substr(name.size() + 2)), absl::StrCat(field, ".", name));
    }
  }
  return WithField(status, field);
}

absl::StatusOr<AttentionSpec> ToAttentionSpec(const v1::AttentionSpec& spec, int layers, int heads,
                                              absl::string_view field) {
  if (absl::Status status = CheckEnums(spec, field); !status.ok()) return status;
  AttentionSpec result;
  result.maps = spec.content() != v1::ATTENTION_CONTENT_STATISTICS;
  if (absl::Status status = ParseSelection(spec.select(), layers, heads, "select", field, result.selection);
      !status.ok()) {
    return status;
  }
  result.queries = ToRange(spec.queries());
  result.keys = ToRange(spec.keys());
  result.reduce = static_cast<AttentionReduce>(spec.reduce());  // the same numbers, held by the assertions below
  result.layout = static_cast<AttentionLayout>(spec.layout());
  result.dtype = static_cast<AttentionDtype>(spec.dtype());
  result.special = static_cast<SpecialTokens>(spec.special_tokens());
  static_assert(static_cast<int>(AttentionReduce::kRollout) == v1::ATTENTION_REDUCE_ROLLOUT);
  static_assert(static_cast<int>(AttentionReduce::kHeadMax) == v1::ATTENTION_REDUCE_HEAD_MAX);
  static_assert(static_cast<int>(AttentionReduce::kLayerMean) == v1::ATTENTION_REDUCE_LAYER_MEAN);
  static_assert(static_cast<int>(AttentionLayout::kTopK) == v1::ATTENTION_LAYOUT_TOP_K);
  static_assert(static_cast<int>(AttentionDtype::kF16) == v1::ATTENTION_DTYPE_F16);
  static_assert(static_cast<int>(AttentionDtype::kU8) == v1::ATTENTION_DTYPE_U8);
  static_assert(static_cast<int>(SpecialTokens::kDrop) == v1::SPECIAL_TOKENS_DROP);
  static_assert(static_cast<int>(SpecialTokens::kRenormalize) == v1::SPECIAL_TOKENS_RENORMALIZE);
  if (spec.layout() == v1::ATTENTION_LAYOUT_TOP_K) {
    if (spec.top_k() < 1) return FieldError(absl::StrCat(field, ".top_k"), "0: at least 1");
    result.top_k = static_cast<int>(std::min<uint32_t>(spec.top_k(), std::numeric_limits<int>::max()));
  }
  result.word_level = spec.word_level();
  if (spec.content() == v1::ATTENTION_CONTENT_MAPS) return result;
  for (int i = 0; i < spec.statistics_size(); ++i) {
    const uint32_t bit = StatisticBit(spec.statistics(i));
    if (bit == 0) return FieldError(absl::StrCat(field, ".statistics[", i, "]"), "unknown statistic");
    result.statistics |= bit;
  }
  if (result.statistics == 0) result.statistics = kDefaultStatistics;
  if (absl::Status status = ParseSelection(spec.statistics_select(), layers, heads, "statistics_select", field,
                                           result.statistics_selection);
      !status.ok()) {
    return status;
  }
  return result;
}

}  // namespace attnd
