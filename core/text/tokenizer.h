// Tokenizer: text to token ids and back, by the Hugging Face `tokenizers` crate.
#ifndef ATTND_CORE_TEXT_TOKENIZER_H_
#define ATTND_CORE_TEXT_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace attnd {

// Bytes [begin, end) of the UTF-8 text. Special tokens have the empty span {0, 0}.
struct TextSpan {
  int32_t begin = 0;
  int32_t end = 0;
};

// One text, or a pair, as tokens. All vectors are [tokens].
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;   // 0, or 1 for the second text of a pair (and its closing special token)
  std::vector<TextSpan> spans;     // bytes of the token's own text (of the pair's second text where type_ids is 1)
  std::vector<uint8_t> special;    // 1 where the template added the token ([CLS], [SEP], <s>, ...)
  std::vector<int32_t> word_ids;   // index of the word the token belongs to, -1 for special tokens

  int tokens() const { return static_cast<int>(ids.size()); }
};

// What to do with a text that has more tokens than the model takes.
enum class Truncate { kRefuse, kEnd, kStart };

struct EncodeOptions {
  bool add_special_tokens = true;
  int max_tokens = 0;                    // special tokens included; 0: no limit
  Truncate truncate = Truncate::kRefuse; // kRefuse: longer texts are kInvalidArgument naming both counts; special tokens survive the others
};

// Immutable after Load; every method may be called by any number of threads at once.
class Tokenizer {
 public:
  // Reads tokenizer.json. Truncation and padding that the file asks for are switched off: EncodeOptions rules.
  // kNotFound, or kInvalidArgument naming the file and the fault.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& path);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // kInvalidArgument: invalid UTF-8 (naming the byte), or too long under Truncate::kRefuse.
  absl::StatusOr<Encoding> Encode(std::string_view text, const EncodeOptions& options) const;
  // The pair as the model's template joins it; truncation shortens the longer of the two first.
  absl::StatusOr<Encoding> EncodePair(std::string_view text, std::string_view pair, const EncodeOptions& options) const;
  // kInvalidArgument naming the first id outside the vocabulary.
  absl::StatusOr<std::string> Decode(absl::Span<const int32_t> ids, bool skip_special_tokens) const;
  // The token as the vocabulary spells it ("##ing"); empty when the id is unknown.
  std::string TokenText(int32_t id) const;
  // The id of a token as the vocabulary spells it; -1 when unknown.
  int32_t TokenId(std::string_view token) const;
  int vocabulary_size() const { return vocabulary_size_; }  // with added tokens

 private:
  explicit Tokenizer(void* handle);
  void* const handle_;  // owned, attnd_tokenizer* of core/text/ffi
  int vocabulary_size_ = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_TOKENIZER_H_
