// Truncation of an Encoding: which tokens go when there are too many.
#ifndef ATTND_CORE_TEXT_TRUNCATE_H_
#define ATTND_CORE_TEXT_TRUNCATE_H_

#include "absl/status/status.h"
#include "core/text/tokenizer.h"

namespace attnd {

// Shortens `encoding` to options.max_tokens. Special tokens stay; of a pair the longer text is shortened first, then
// both alike, to the same tokens as the Hugging Face strategy "longest_first". kInvalidArgument under kRefuse, and
// where the special tokens alone are too many.
absl::Status TruncateEncoding(const EncodeOptions& options, Encoding& encoding);

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_TRUNCATE_H_
