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

struct attnd_tokenizer;

namespace attnd {

// Bytes [begin, end) of the UTF-8 text. Special tokens have the empty span {0, 0}.
struct TextSpan {
  int32_t begin = 0;
  int32_t end = 0;
};

// One text, or a pair, as tokens. All vectors are [tokens].
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;  // as the template says; BERT: 1 for the second text of a pair and its closing token
  std::vector<TextSpan> spans;    // bytes of the token's own text (the one that sequence_ids names)
  std::vector<uint8_t> special;   // 1 where the template added the token ([CLS], [SEP], <s>, ...)
  std::vector<int32_t> word_ids;  // index of the word within its text, -1 for special tokens
  std::vector<int8_t> sequence_ids;  // 0: the first text, 1: the pair's second, -1: special tokens
  bool truncated = false;            // whether EncodeOptions::truncate left tokens out

  int tokens() const { return static_cast<int>(ids.size()); }
};

// What to do with a text that has more tokens than the model takes.
enum class Truncate { kRefuse, kEnd, kStart };

struct EncodeOptions {
  bool add_special_tokens = true;
  int max_tokens = 0;                     // special tokens included; 0: no limit
  Truncate truncate = Truncate::kRefuse;  // kRefuse: longer texts are kInvalidArgument naming both counts; special
                                          // tokens survive the others
};

// Immutable after Load; every method may be called by any number of threads at once.
class Tokenizer {
 public:
  // Reads tokenizer.json. Truncation and padding that the file asks for are switched off: EncodeOptions rules.
  // kNotFound, or kInvalidArgument naming the file and the fault.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& path);
  // The same from the file's bytes; `name` goes into errors.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(std::string_view json, const std::string& name);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // kInvalidArgument: invalid UTF-8 (naming the byte), or too long under Truncate::kRefuse. NUL is a character like
  // others. The cost is linear in the text's bytes (1 to 10 MB/s): bound them before.
  absl::StatusOr<Encoding> Encode(std::string_view text, const EncodeOptions& options) const;
  // The pair as the model's template joins it; truncation shortens the longer of the two first.
  absl::StatusOr<Encoding> EncodePair(std::string_view text, std::string_view pair, const EncodeOptions& options) const;
  // kInvalidArgument naming the first id outside the vocabulary.
  absl::StatusOr<std::string> Decode(absl::Span<const int32_t> ids, bool skip_special_tokens) const;
  // The token as the vocabulary spells it ("##ing"); empty when the id is unknown.
  std::string TokenText(int32_t id) const;
  // The id of a token as the vocabulary spells it; -1 when unknown.
  int32_t TokenId(std::string_view token) const;
  // One past the greatest id that Encode can give, added tokens included: the rows an embedding table needs.
  int vocabulary_size() const { return vocabulary_size_; }

 private:
  friend class Grammar;  // its vocabulary is made from the handle
  explicit Tokenizer(attnd_tokenizer* handle);
  absl::StatusOr<Encoding> Run(std::string_view text, const std::string_view* pair, const EncodeOptions& options) const;

  attnd_tokenizer* const handle_;  // owned, of core/text/ffi
  int vocabulary_size_ = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_TOKENIZER_H_
