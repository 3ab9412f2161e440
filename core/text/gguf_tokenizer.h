// The tokenizer of a GGUF file's metadata, as the tokenizer.json that Tokenizer reads.
#ifndef ATTND_CORE_TEXT_GGUF_TOKENIZER_H_
#define ATTND_CORE_TEXT_GGUF_TOKENIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace attnd {

// What tokenizer.ggml.* says. Spans need to live only as long as the call that takes them.
struct GgufVocabulary {
  std::string model;                     // "gpt2": byte-level BPE; "llama": SentencePiece BPE with byte fallback
  std::string pre;                       // of gpt2: how text is split into words: "smollm", "llama-bpe", "qwen2", ...
  absl::Span<const std::string> tokens;  // [vocabulary]
  absl::Span<const int64_t> types;  // [vocabulary] or empty: 1 normal, 2 unknown, 3 control, 4 user-defined, 6 byte
  absl::Span<const std::string> merges;  // of gpt2: "left right", first ones first
  absl::Span<const double> scores;       // of llama: [vocabulary]
  bool add_space_prefix = true;          // of llama
  int32_t bos = -1;                      // added before a text; -1: none
  int32_t eos = -1;                      // added after a text; -1: none
};

// kInvalidArgument says what is wrong or, for an unknown model or pre, which are known.
absl::StatusOr<std::string> GgufTokenizerJson(const GgufVocabulary& vocabulary);

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_GGUF_TOKENIZER_H_
