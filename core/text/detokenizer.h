// Detokenizer: tokens that come one by one become text that never ends inside a character, and stops at stop strings.
#ifndef ATTND_CORE_TEXT_DETOKENIZER_H_
#define ATTND_CORE_TEXT_DETOKENIZER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/text/tokenizer.h"

namespace attnd {

// Looks for the first of some strings in a text that comes in pieces. Holds back what may be the beginning of one.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);  // none empty

  // Adds a piece; appends to `out` what is safe to show. True when a stop string is complete: what came before it is in
  // `out`, the rest is dropped, and nothing more may be added.
  bool Add(std::string_view piece, std::string& out);
  // The end of the text: what was held back is shown.
  void Finish(std::string& out);

 private:
  const std::vector<std::string> stops_;
  size_t longest_ = 0;
  std::string held_;
};

// The text of a growing list of tokens. Used by one thread; the tokenizer must outlive it.
class Detokenizer {
 public:
  // `prompt` are the tokens before: spaces at a border depend on them, and a character that begins in them is all the
  // answer's. Special tokens are left out of the text, as are ids of the prompt that the tokenizer does not know.
  Detokenizer(const Tokenizer& tokenizer, absl::Span<const int32_t> prompt);

  // The text that `token` adds; "" while it ends inside a character. kInvalidArgument: the tokenizer does not know the
  // token, and it is as if it had not come.
  absl::StatusOr<std::string> Add(int32_t token);
  // What is left at the end: bytes that are no whole character show as U+FFFD.
  absl::StatusOr<std::string> Finish();

 private:
  absl::StatusOr<std::string> Rest(bool final);

  const Tokenizer& tokenizer_;
  std::vector<int32_t> ids_;  // the last tokens of the prompt, and the answer since what was shown
  size_t shown_ = 0;          // ids_[0, shown_) are in the text already
};

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_DETOKENIZER_H_
