#include "core/attention/plan.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/attention/row_accumulator.h"

namespace attnd {
namespace {

// Far above any model, so that products of sizes stay below 2^63.
constexpr int kMaxHeads = 1 << 20;   // layers x heads
constexpr int kMaxTokens = 1 << 20;  // of a sequence

constexpr uint32_t kPerTokenStatistics = kStatEntropy | kStatReceivedMass;

// In MiB, below one in KiB, with a decimal rounded up: an estimate just above a limit must not read as equal to it.
std::string Readable(int64_t bytes) {
  const int shift = bytes < (1 << 20) ? 10 : 20;
  const int64_t unit = int64_t{1} << shift;
  const int64_t tenths = (bytes >> shift) * 10 + ((bytes & (unit - 1)) * 10 + unit - 1) / unit;
  return absl::StrCat(tenths / 10, ".", tenths % 10, shift == 10 ? " KiB" : " MiB");
}

absl::Status OverCap(const AttentionSizes& sizes, bool maps, int64_t byte_cap) {
  std::string needs;
  if (sizes.staging > 0) needs = absl::StrCat(" (", Readable(sizes.staging), " of it work space)");
  return absl::ResourceExhaustedError(absl::StrCat(
      "attention: the ", maps ? "maps need " : "statistics need ", Readable(sizes.total()), needs, ", the limit is ",
      Readable(byte_cap),
      maps ? " (select fewer layers or heads, or use top-k, u8 or a reduction)" : " (select fewer layers or heads)"));
}

absl::Status CheckInputs(const AttentionSpec& spec, const AttentionInputs& inputs) {
  if (inputs.layers < 1 || inputs.heads < 1 || inputs.layers > kMaxHeads / inputs.heads) {
    return absl::InvalidArgumentError(absl::StrCat("attention: ", inputs.layers, " layers of ", inputs.heads,
                                                   " heads: at least 1 and at most ", kMaxHeads, " heads in all"));
  }
  if (inputs.tokens < 1 || inputs.tokens > kMaxTokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("attention: ", inputs.tokens, " tokens: at least 1, at most ", kMaxTokens));
  }
  const size_t tokens = inputs.tokens;
  if (inputs.special.size() != tokens || inputs.word_ids.size() != tokens) {
    return absl::InvalidArgumentError(absl::StrCat("attention: ", tokens, " tokens, but ", inputs.special.size(),
                                                   " special flags and ", inputs.word_ids.size(), " word ids"));
  }
  if (!inputs.ids.empty() && inputs.ids.size() != tokens) {
    return absl::InvalidArgumentError(absl::StrCat("attention: ", tokens, " tokens, but ", inputs.ids.size(), " ids"));
  }
  for (const auto* selection : {&spec.selection, &spec.statistics_selection}) {
    if (selection->has_value() && ((*selection)->layers() != inputs.layers || (*selection)->heads() != inputs.heads)) {
      return absl::InvalidArgumentError(absl::StrCat("selection: made for ", (*selection)->layers(), " layers of ",
                                                     (*selection)->heads(), " heads, the model has ", inputs.layers,
                                                     " of ", inputs.heads));
    }
  }
  if ((spec.statistics & ~static_cast<uint32_t>(kStatAll)) != 0) {
    return absl::InvalidArgumentError("statistics: an unknown one is asked for");
  }
  if (spec.maps && spec.layout == AttentionLayout::kTopK && spec.top_k < 1) {
    return absl::InvalidArgumentError(absl::StrCat("top_k: ", spec.top_k, ": at least 1"));
  }
  return absl::OkStatus();
}

int ValueBytes(AttentionDtype dtype) {
  switch (dtype) {
    case AttentionDtype::kF32:
      return 4;
    case AttentionDtype::kF16:
      return 2;
    case AttentionDtype::kU8:
      return 1;
  }
  return 4;
}

std::vector<LayerHead> MapLabels(const HeadSelection& selection, AttentionReduce reduce) {
  if (reduce == AttentionReduce::kNone) return selection.items();
  if (reduce == AttentionReduce::kLayerMean || reduce == AttentionReduce::kRollout) return {{-1, -1}};
  std::vector<LayerHead> labels;
  for (const LayerHead& item : selection.items()) {
    if (labels.empty() || labels.back().layer != item.layer) labels.push_back({item.layer, -1});
  }
  return labels;
}

int SelectedLayers(const HeadSelection& selection) {
  return static_cast<int>(MapLabels(selection, AttentionReduce::kHeadMean).size());
}

}  // namespace

AttentionPlan::AttentionPlan(const AttentionSpec& spec, const AttentionInputs& inputs)
    : spec_(spec), layers_(inputs.layers), heads_(inputs.heads), tokens_(inputs.tokens) {
  if (!spec_.selection.has_value()) spec_.selection = HeadSelection::All(layers_, heads_);
  if (!spec_.statistics_selection.has_value()) spec_.statistics_selection = HeadSelection::All(layers_, heads_);
  for (int i = 0; i < tokens_; ++i) {
    if (inputs.special[i]) special_tokens_.push_back(i);
  }
  if ((spec_.statistics & (kStatInduction | kStatDuplicate)) == 0) return;
  earlier_.assign(tokens_, -1);
  absl::flat_hash_map<int32_t, int> last;
  for (int i = 0; i < static_cast<int>(inputs.ids.size()); ++i) {
    const auto [found, is_new] = last.try_emplace(inputs.ids[i], i);
    if (!is_new) earlier_[i] = std::exchange(found->second, i);
  }
}

void AttentionPlan::PlanMaps() {
  maps_ = MapLabels(*spec_.selection, spec_.reduce);
  const bool top_k = spec_.layout == AttentionLayout::kTopK;
  values_per_row_ = top_k ? std::min(spec_.top_k, columns()) : columns();
  layout_.value_bytes = ValueBytes(spec_.dtype);
  layout_.index_bytes = !top_k ? 0 : columns() <= 65536 ? 2 : 4;

  const int64_t map_rows = static_cast<int64_t>(maps_.size()) * rows();
  const auto append = [this](AttentionSection& section, int64_t bytes) {
    section = {sizes_.data, bytes};
    sizes_.data += (bytes + 3) / 4 * 4;
  };
  append(layout_.scales, spec_.dtype == AttentionDtype::kU8 ? map_rows * 4 : 0);
  append(layout_.residuals, top_k ? map_rows * 4 : 0);
  append(layout_.values, map_rows * values_per_row_ * layout_.value_bytes);
  append(layout_.indices, map_rows * values_per_row_ * layout_.index_bytes);

  switch (spec_.reduce) {
    case AttentionReduce::kNone:
      break;
    case AttentionReduce::kHeadMean:
    case AttentionReduce::kHeadMax:
    case AttentionReduce::kLayerMean:
      reduced_rows_ = static_cast<int64_t>(maps_.size()) * shape_.row_token_count();
      break;
    case AttentionReduce::kRollout:
      reduced_rows_ = static_cast<int64_t>(SelectedLayers(*spec_.selection)) * tokens_;
      break;
  }
  pooled_rows_ = static_cast<int64_t>(maps_.size()) * shape_.pooled_words();
  sizes_.staging += RowAccumulator::Bytes(reduced_rows_, tokens_) + RowAccumulator::Bytes(pooled_rows_, columns());
  if (spec_.reduce == AttentionReduce::kRollout) {  // two generations of the rows asked for
    sizes_.staging += 2ll * shape_.row_token_count() * tokens_ * static_cast<int64_t>(sizeof(float));
  }
}

void AttentionPlan::PlanStatistics() {
  statistics_heads_ = spec_.statistics_selection->items();
  const int64_t heads = static_cast<int64_t>(statistics_heads_.size());
  const int64_t per_token = std::popcount(spec_.statistics & kPerTokenStatistics);
  const int64_t per_head = std::popcount(spec_.statistics & ~kPerTokenStatistics);
  sizes_.statistics = heads * (per_token * tokens_ + per_head) * static_cast<int64_t>(sizeof(float));
  if ((spec_.statistics & kStatReceivedMass) != 0) {
    sizes_.staging += heads * tokens_ * static_cast<int64_t>(sizeof(double));
  }
}

TokenSpan AttentionPlan::needed_rows() const {
  if (!statistics_heads_.empty() || maps_.empty() || spec_.reduce == AttentionReduce::kRollout) return {0, tokens_};
  return {row_tokens().front().begin, row_tokens().back().end};
}

absl::StatusOr<std::shared_ptr<const AttentionPlan>> AttentionPlan::Make(const AttentionSpec& spec,
                                                                         const AttentionInputs& inputs,
                                                                         int64_t byte_cap) {
  if (absl::Status status = CheckInputs(spec, inputs); !status.ok()) return status;
  std::shared_ptr<AttentionPlan> plan(new AttentionPlan(spec, inputs));
  if (spec.maps) {
    absl::StatusOr<MapShape> shape = MapShape::Make(spec, inputs);
    if (!shape.ok()) return shape.status();
    plan->shape_ = *std::move(shape);
    plan->PlanMaps();
  }
  if (spec.statistics != 0) plan->PlanStatistics();
  if (plan->sizes_.total() > byte_cap) return OverCap(plan->sizes_, spec.maps, byte_cap);
  return plan;
}

}  // namespace attnd
