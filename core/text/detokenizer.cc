#include "core/text/detokenizer.h"

#include <algorithm>
#include <utility>

namespace attnd {
namespace {

// Tokens before the new ones that decoding looks at: enough for what a token does to its neighbour.
constexpr size_t kContextTokens = 6;
// An unfinished character this long is none: its bytes are shown as they are.
constexpr size_t kUnfinishedMax = 16;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool IsInsideCharacter(char byte) { return (static_cast<uint8_t>(byte) & 0xc0) == 0x80; }

// How much of `all` is in the text already: `before`, but for what it shows of a character that `all` has whole.
size_t Shown(std::string_view before, std::string_view all) {
  size_t shown = before.size();
  const auto begun = [&] { return before.substr(0, shown).ends_with(kReplacement); };
  while (!all.starts_with(before.substr(0, shown)) && begun()) shown -= kReplacement.size();
  while (shown < all.size() && IsInsideCharacter(all[shown])) ++shown;  // whatever a decoder made of the two
  return std::min(shown, all.size());
}

}  // namespace

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) longest_ = std::max(longest_, stop.size());
}

bool StopMatcher::Add(std::string_view piece, std::string& out) {
  held_.append(piece);
  size_t first = std::string::npos;
  for (const std::string& stop : stops_) first = std::min(first, held_.find(stop));
  if (first != std::string::npos) {
    out.append(held_, 0, first);
    held_.clear();
    return true;
  }
  // The longest end of what is there that begins a stop string.
  size_t keep = std::min(held_.size(), longest_ == 0 ? 0 : longest_ - 1);
  for (; keep > 0; --keep) {
    const std::string_view end = std::string_view(held_).substr(held_.size() - keep);
    const auto begins = [&](const std::string& stop) { return std::string_view(stop).substr(0, keep) == end; };
    if (std::any_of(stops_.begin(), stops_.end(), begins)) break;
  }
  size_t show = held_.size() - keep;
  // A stop string may begin inside a character only if the caller's does; what is shown never ends inside one.
  while (show > 0 && show < held_.size() && IsInsideCharacter(held_[show])) --show;
  out.append(held_, 0, show);
  held_.erase(0, show);
  return false;
}

void StopMatcher::Finish(std::string& out) {
  out += held_;
  held_.clear();
}

Detokenizer::Detokenizer(const Tokenizer& tokenizer, absl::Span<const int32_t> prompt) : tokenizer_(tokenizer) {
  for (const int32_t& id : prompt.last(std::min(prompt.size(), kContextTokens))) {
    if (tokenizer.Decode({&id, 1}, /*skip_special_tokens=*/true).ok()) ids_.push_back(id);
  }
  shown_ = ids_.size();
}

absl::StatusOr<std::string> Detokenizer::Rest(bool final) {
  auto before = tokenizer_.Decode(absl::MakeConstSpan(ids_).subspan(0, shown_), /*skip_special_tokens=*/true);
  if (!before.ok()) return before;
  auto all = tokenizer_.Decode(ids_, /*skip_special_tokens=*/true);
  if (!all.ok()) return all;
  // A character whose bytes are not all there decodes to the replacement character.
  const bool unfinished = all->ends_with(kReplacement);
  if (unfinished && !final && ids_.size() - shown_ < kUnfinishedMax) return "";
  std::string text = all->substr(Shown(*before, *all));
  const size_t context = std::min(ids_.size(), kContextTokens);
  ids_.erase(ids_.begin(), ids_.end() - static_cast<std::ptrdiff_t>(context));
  shown_ = ids_.size();
  return text;
}

absl::StatusOr<std::string> Detokenizer::Add(int32_t token) {
  ids_.push_back(token);
  absl::StatusOr<std::string> text = Rest(/*final=*/false);
  if (!text.ok()) ids_.pop_back();  // else none after it had a text
  return text;
}

absl::StatusOr<std::string> Detokenizer::Finish() {
  if (shown_ == ids_.size()) return "";
  return Rest(/*final=*/true);
}

}  // namespace attnd
