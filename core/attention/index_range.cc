#include "core/attention/index_range.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace attnd {

absl::StatusOr<TokenSpan> IndexRange::Resolve(int count, absl::string_view field) const {
  const auto absolute = [count](int64_t i) {
    return static_cast<int>(i < 0 ? std::max<int64_t>(i, -count) + count : std::min<int64_t>(i, count));
  };
  const TokenSpan span{absolute(begin.value_or(0)), absolute(end.value_or(count))};
  if (span.begin >= span.end) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": the range [", begin.has_value() ? absl::StrCat(*begin) : "", ", ",
                     end.has_value() ? absl::StrCat(*end) : "", ") is empty: the sequence has ", count, " tokens"));
  }
  return span;
}

}  // namespace attnd
