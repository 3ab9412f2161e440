// do_lower_case of a sentence-transformers config.
#ifndef ATTND_CORE_MODEL_LOWER_CASE_H_
#define ATTND_CORE_MODEL_LOWER_CASE_H_

#include <string>

#include "absl/status/status.h"
#include "core/text/tokenizer.h"

namespace attnd {

// kInvalidArgument naming `folder` unless the tokenizer lower-cases by itself: before one that does it changes nothing,
// and before another it would move the spans of its tokens.
absl::Status CheckLowerCase(const std::string& folder, const Tokenizer& tokenizer);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_LOWER_CASE_H_
