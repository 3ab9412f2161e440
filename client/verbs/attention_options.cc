#include "client/verbs/attention_options.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace attnd {
namespace {

// "L3" and "3" are the same layer.
absl::string_view Number(absl::string_view text, char letter) {
  if (!text.empty() && (text[0] == letter || text[0] == letter + 32)) text.remove_prefix(1);
  return text;
}

}  // namespace

void AddAttentionOptions(CLI::App* verb, AttentionOptions& options) {
  verb->add_option("--layer", options.layer, "Layer, from 0; -1 is the last");
  verb->add_option("--head", options.head, "Head of that layer, or both at once: L3H5, L4H*, 7-9:0-3");
  verb->add_option("--reduce", options.reduce, "none, head-mean, head-max, layer-mean, rollout")
      ->check(CLI::IsMember({"none", "head-mean", "head-max", "layer-mean", "rollout"}))
      ->capture_default_str();
  verb->add_option("--special", options.special, "[CLS], [SEP]: keep, drop, renormalize")
      ->check(CLI::IsMember({"keep", "drop", "renormalize"}))
      ->capture_default_str();
  verb->add_flag("--words", options.words, "Words instead of tokens");
}

absl::StatusOr<std::string> SelectionText(const std::string& layer, const std::string& head) {
  if (layer.empty() && head.empty()) return std::string();
  const bool whole = absl::StrContains(head, ':') || absl::StrContains(head, ',') || Number(head, 'L') != head;
  if (whole) {
    if (!layer.empty()) return absl::InvalidArgumentError("--head names its layer: leave out --layer");
    return head;
  }
  const absl::string_view l = Number(layer, 'L'), h = Number(head, 'H');
  if (absl::StrContains(l, ','))
    return absl::InvalidArgumentError("--layer takes one layer or range, such as 3 or 7-9");
  return absl::StrCat(l.empty() ? "*" : l, ":", h.empty() ? "*" : h);
}

absl::StatusOr<v1::AttentionSpec> MakeSpec(const AttentionOptions& options) {
  const auto selection = SelectionText(options.layer, options.head);
  if (!selection.ok()) return selection.status();
  v1::AttentionSpec spec;
  spec.set_select(*selection);
  spec.set_word_level(options.words);
  if (options.reduce == "head-mean") spec.set_reduce(v1::ATTENTION_REDUCE_HEAD_MEAN);
  if (options.reduce == "head-max") spec.set_reduce(v1::ATTENTION_REDUCE_HEAD_MAX);
  if (options.reduce == "layer-mean") spec.set_reduce(v1::ATTENTION_REDUCE_LAYER_MEAN);
  if (options.reduce == "rollout") spec.set_reduce(v1::ATTENTION_REDUCE_ROLLOUT);
  if (options.special == "drop") spec.set_special_tokens(v1::SPECIAL_TOKENS_DROP);
  if (options.special == "renormalize") spec.set_special_tokens(v1::SPECIAL_TOKENS_RENORMALIZE);
  return spec;
}

}  // namespace attnd
