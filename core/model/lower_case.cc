#include "core/model/lower_case.h"

#include "absl/strings/str_cat.h"

namespace attnd {

absl::Status CheckLowerCase(const std::string& folder, const Tokenizer& tokenizer) {
  const auto upper = tokenizer.Encode("THE QUICK BROWN FOX JUMPS OVER A LAZY DOG", {});
  const auto lower = tokenizer.Encode("the quick brown fox jumps over a lazy dog", {});
  if (upper.ok() && lower.ok() && upper->ids == lower->ids) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(folder, ": do_lower_case of the sentence-transformers config is true, but tokenizer.json does not ",
                   "lower-case; give it a Lowercase normalizer"));
}

}  // namespace attnd
