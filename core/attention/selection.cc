#include "core/attention/selection.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace attnd {
namespace {

constexpr size_t kMaxTextBytes = 4096;

// Numbers first..last of one axis, zero-based, both included.
struct Numbers {
  int first;
  int last;
};

// One axis of the model, for resolving numbers and naming the limit.
struct Axis {
  const char* noun;  // "layer"
  int count;
};

// Where a message says the fault is.
struct Place {
  absl::string_view field;
  int item;  // from 1
};

std::string Prefix(const Place& place) { return absl::StrCat(place.field, ": item ", place.item, ": "); }

absl::StatusOr<int> ResolveNumber(int64_t number, const Axis& axis, const Place& place) {
  const int64_t resolved = number < 0 ? number + axis.count : number;
  if (resolved < 0 || resolved >= axis.count) {
    return absl::InvalidArgumentError(
        absl::StrCat(Prefix(place), axis.noun, " ", number, ": the model has ", axis.noun, "s 0 to ", axis.count - 1));
  }
  return static_cast<int>(resolved);
}

// Takes "-?[0-9]{1,9}" off the front of `text`.
std::optional<int64_t> TakeNumber(absl::string_view& text) {
  size_t at = !text.empty() && text[0] == '-' ? 1 : 0;
  const bool negative = at == 1;
  const size_t begin = at;
  int64_t value = 0;
  for (; at < text.size() && absl::ascii_isdigit(text[at]) && at - begin < 9; ++at)
    value = 10 * value + (text[at] - '0');
  if (at == begin) return std::nullopt;
  text.remove_prefix(at);
  return negative ? -value : value;
}

absl::Status Malformed(const Axis& axis, const Place& place) {
  return absl::InvalidArgumentError(
      absl::StrCat(Prefix(place), "the ", axis.noun, " is not a number, a range such as 7-9, or *"));
}

// Takes "*", "7", "-1", "7-9" or "7--1" off the front of `text`.
absl::StatusOr<Numbers> TakeNumbers(absl::string_view& text, const Axis& axis, const Place& place) {
  if (!text.empty() && text[0] == '*') {
    text.remove_prefix(1);
    return Numbers{0, axis.count - 1};
  }
  const std::optional<int64_t> first = TakeNumber(text);
  if (!first.has_value()) return Malformed(axis, place);
  const absl::StatusOr<int> resolved_first = ResolveNumber(*first, axis, place);
  if (!resolved_first.ok()) return resolved_first.status();
  if (text.empty() || text[0] != '-') return Numbers{*resolved_first, *resolved_first};

  text.remove_prefix(1);
  const std::optional<int64_t> last = TakeNumber(text);
  if (!last.has_value()) return Malformed(axis, place);
  const absl::StatusOr<int> resolved_last = ResolveNumber(*last, axis, place);
  if (!resolved_last.ok()) return resolved_last.status();
  if (*resolved_last < *resolved_first) {
    return absl::InvalidArgumentError(
        absl::StrCat(Prefix(place), "the range of ", axis.noun, "s ", *first, "-", *last, " runs backwards"));
  }
  return Numbers{*resolved_first, *resolved_last};
}

// "L3H5", "L4", "H2", "7-9:0-3", "7-9" or "*".
absl::StatusOr<std::pair<Numbers, Numbers>> ParseItem(absl::string_view text, const Axis& layers, const Axis& heads,
                                                      const Place& place) {
  const auto take = [&text](char letter) {
    if (text.empty() || absl::ascii_toupper(text[0]) != letter) return false;
    text.remove_prefix(1);
    return true;
  };
  Numbers layer{0, layers.count - 1};
  Numbers head{0, heads.count - 1};
  const bool labelled_layer = take('L');
  const bool head_only = !labelled_layer && !text.empty() && absl::ascii_toupper(text[0]) == 'H';
  if (!head_only) {
    const absl::StatusOr<Numbers> numbers = TakeNumbers(text, layers, place);
    if (!numbers.ok()) return numbers.status();
    layer = *numbers;
  }
  if ((labelled_layer || head_only) ? take('H') : take(':')) {
    const absl::StatusOr<Numbers> numbers = TakeNumbers(text, heads, place);
    if (!numbers.ok()) return numbers.status();
    head = *numbers;
  }
  if (!text.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(Prefix(place),
                                                   "not like L3H5, L4H*, 7-9:0-3, 7-9 or *; layers 0 to ",
                                                   layers.count - 1, ", heads 0 to ", heads.count - 1));
  }
  return std::make_pair(layer, head);
}

absl::StatusOr<std::vector<absl::string_view>> SplitItems(absl::string_view text, absl::string_view field) {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", text.size(), " bytes, the limit is ", kMaxTextBytes));
  }
  std::vector<absl::string_view> items = absl::StrSplit(text, absl::ByAnyChar(", \t\n\r"), absl::SkipEmpty());
  if (items.empty()) return absl::InvalidArgumentError(absl::StrCat(field, ": nothing but separators"));
  return items;
}

// The numbers of one axis that a list selects, as flags.
absl::StatusOr<std::vector<bool>> ParseList(absl::string_view text, const Axis& axis, absl::string_view field) {
  if (text.empty()) return std::vector<bool>(axis.count, true);
  const absl::StatusOr<std::vector<absl::string_view>> items = SplitItems(text, field);
  if (!items.ok()) return items.status();
  std::vector<bool> selected(axis.count, false);
  int number = 0;
  for (absl::string_view item : *items) {
    const Place place{field, ++number};
    const absl::StatusOr<Numbers> numbers = TakeNumbers(item, axis, place);
    if (!numbers.ok()) return numbers.status();
    if (!item.empty()) return Malformed(axis, place);
    std::fill(selected.begin() + numbers->first, selected.begin() + numbers->last + 1, true);
  }
  return selected;
}

std::vector<int32_t> CrossIndex(const std::vector<bool>& layers, const std::vector<bool>& heads) {
  std::vector<int32_t> index(layers.size() * heads.size(), -1);
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    for (size_t head = 0; head < heads.size(); ++head) {
      if (layers[layer] && heads[head]) index[layer * heads.size() + head] = 0;
    }
  }
  return index;
}

}  // namespace

// `index` holds 0 where selected, -1 elsewhere.
HeadSelection::HeadSelection(int layers, int heads, std::vector<int32_t> index)
    : layers_(layers), heads_(heads), index_(std::move(index)) {
  for (size_t i = 0; i < index_.size(); ++i) {
    if (index_[i] < 0) continue;
    index_[i] = size();
    items_.push_back({static_cast<int>(i) / heads, static_cast<int>(i) % heads});
  }
}

HeadSelection HeadSelection::All(int layers, int heads) {
  return HeadSelection(layers, heads, std::vector<int32_t>(static_cast<size_t>(layers) * heads, 0));
}

absl::StatusOr<HeadSelection> HeadSelection::Parse(absl::string_view text, int layers, int heads,
                                                   absl::string_view field) {
  if (text.empty()) return All(layers, heads);
  const absl::StatusOr<std::vector<absl::string_view>> items = SplitItems(text, field);
  if (!items.ok()) return items.status();
  std::vector<int32_t> index(static_cast<size_t>(layers) * heads, -1);
  int number = 0;
  for (const absl::string_view item : *items) {
    const auto numbers = ParseItem(item, {"layer", layers}, {"head", heads}, {field, ++number});
    if (!numbers.ok()) return numbers.status();
    const auto [layer, head] = *numbers;
    for (int l = layer.first; l <= layer.last; ++l) {
      const auto row = index.begin() + static_cast<ptrdiff_t>(l) * heads;
      std::fill(row + head.first, row + head.last + 1, 0);
    }
  }
  return HeadSelection(layers, heads, std::move(index));
}

absl::StatusOr<HeadSelection> HeadSelection::ParseCross(absl::string_view layers_text, absl::string_view heads_text,
                                                        int layers, int heads) {
  const auto layer_flags = ParseList(layers_text, {"layer", layers}, "layers");
  if (!layer_flags.ok()) return layer_flags.status();
  const auto head_flags = ParseList(heads_text, {"head", heads}, "heads");
  if (!head_flags.ok()) return head_flags.status();
  return HeadSelection(layers, heads, CrossIndex(*layer_flags, *head_flags));
}

}  // namespace attnd
