#include "core/text/truncate.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

// Tokens to keep of the first and the second text: `room` in all, less than there are.
std::array<int, 2> Share(const std::array<int, 2>& have, int room) {
  const int shorter = std::min({have[0], have[1], room / 2});
  return have[0] > have[1] ? std::array{room - shorter, shorter} : std::array{shorter, room - shorter};
}

// Moves the entries that `kept` marks to the front.
template <typename T>
void Compact(const std::vector<bool>& kept, std::vector<T>& values) {
  size_t end = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (kept[i]) values[end++] = values[i];
  }
  values.resize(end);
}

}  // namespace

absl::Status TruncateEncoding(const EncodeOptions& options, Encoding& encoding) {
  const int tokens = encoding.tokens();
  if (options.max_tokens <= 0 || tokens <= options.max_tokens) return absl::OkStatus();
  if (options.truncate == Truncate::kRefuse) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text has ", tokens, " tokens, at most ", options.max_tokens, " are allowed"));
  }
  std::array<int, 2> have = {0, 0};
  for (int8_t sequence : encoding.sequence_ids) {
    if (sequence >= 0) ++have[sequence];
  }
  const int special = tokens - have[0] - have[1];
  if (special > options.max_tokens) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", special, " special tokens alone exceed the ", options.max_tokens, " tokens allowed"));
  }
  const std::array<int, 2> keep = Share(have, options.max_tokens - special);
  std::vector<bool> kept(tokens);
  std::array<int, 2> seen = {0, 0};
  for (int i = 0; i < tokens; ++i) {
    const int8_t sequence = encoding.sequence_ids[i];
    if (sequence < 0) {
      kept[i] = true;
      continue;
    }
    const int index = seen[sequence]++;
    kept[i] = options.truncate == Truncate::kEnd ? index < keep[sequence] : index >= have[sequence] - keep[sequence];
  }
  encoding.truncated = true;
  Compact(kept, encoding.ids);
  Compact(kept, encoding.type_ids);
  Compact(kept, encoding.spans);
  Compact(kept, encoding.special);
  Compact(kept, encoding.word_ids);
  Compact(kept, encoding.sequence_ids);
  return absl::OkStatus();
}

}  // namespace attnd
