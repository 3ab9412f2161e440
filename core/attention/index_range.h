// IndexRange: the tokens [begin, end) that a request asks for, as Python slices count them.
#ifndef ATTND_CORE_ATTENTION_INDEX_RANGE_H_
#define ATTND_CORE_ATTENTION_INDEX_RANGE_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attnd {

// Tokens [begin, end) of a sequence, zero-based.
struct TokenSpan {
  int begin = 0;
  int end = 0;
  int size() const { return end - begin; }
  bool operator==(const TokenSpan&) const = default;
};

// A slice: negative numbers count from the end, what is missing means from the start or to the end, and numbers beyond
// the sequence are clamped to it. So [-5, ) is the last five tokens, or all of a shorter text.
struct IndexRange {
  std::optional<int64_t> begin;
  std::optional<int64_t> end;

  // The span within `count` tokens. An empty or inverted span is kInvalidArgument naming `field` and the count.
  absl::StatusOr<TokenSpan> Resolve(int count, absl::string_view field) const;
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_INDEX_RANGE_H_
