// Grammar: a JSON Schema or a regex that a generated text must keep to, token by token ("Efficient Guided Generation
// for Large Language Models", Willard and Louf, 2023), by the llguidance crate.
#ifndef ATTND_CORE_TEXT_GRAMMAR_H_
#define ATTND_CORE_TEXT_GRAMMAR_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/text/tokenizer.h"

struct attnd_grammar;
struct attnd_grammar_state;

namespace attnd {

// Immutable once made; any number of threads may make states of it. May outlive its tokenizer.
class Grammar {
 public:
  static constexpr size_t kSchemaBytesMax = 32 << 10;
  static constexpr size_t kRegexBytesMax = 4 << 10;

  // A JSON Schema; "{}" is any object. Object properties come in the schema's order, separated as Python's json.dumps
  // does it, unless the schema's "x-guidance" says otherwise; "$ref" only into the schema itself. kInvalidArgument
  // names the field "json_schema" and what is wrong or not supported, or the limit. The first grammar of a tokenizer
  // takes longest: its vocabulary is sorted then.
  static absl::StatusOr<std::shared_ptr<const Grammar>> FromJsonSchema(const Tokenizer& tokenizer,
                                                                       std::string_view schema);
  // A regex, in the syntax of Rust's regex crate without look-around and back-references, that the whole text must
  // match. kInvalidArgument names the field "regex".
  static absl::StatusOr<std::shared_ptr<const Grammar>> FromRegex(const Tokenizer& tokenizer, std::string_view regex);
  ~Grammar();
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

 private:
  friend class GrammarState;
  Grammar(attnd_grammar* handle, int vocabulary) : handle_(handle), vocabulary_(vocabulary) {}
  static absl::StatusOr<std::shared_ptr<const Grammar>> Compile(const Tokenizer& tokenizer, int kind,
                                                                std::string_view source);

  attnd_grammar* const handle_;  // owned, of core/text/ffi
  const int vocabulary_;         // ids
};

// One text on its way through a grammar. Used by one thread at a time; at most some megabytes, as it goes on.
class GrammarState {
 public:
  // At the grammar's beginning.
  static absl::StatusOr<std::unique_ptr<GrammarState>> Start(const Grammar& grammar);
  ~GrammarState();
  GrammarState(const GrammarState&) = delete;
  GrammarState& operator=(const GrammarState&) = delete;

  // Whether token `id` may follow; a special token never.
  bool Allows(int32_t id) const {
    return id >= 0 && static_cast<size_t>(id) / 32 < allowed_.size() && (allowed_[id / 32] >> (id % 32) & 1) != 0;
  }
  bool may_end() const { return may_end_; }    // the text so far is a whole one
  bool finished() const { return finished_; }  // nothing may follow

  // Goes on by a token that Allows. kResourceExhausted: going on would take more than the limits of a step (about 20
  // ms) or of states; the state is of no more use.
  absl::Status Accept(int32_t id);

 private:
  GrammarState(attnd_grammar_state* handle, int vocabulary) : handle_(handle), allowed_((vocabulary + 31) / 32) {}
  absl::Status Look();

  attnd_grammar_state* const handle_;  // owned, of core/text/ffi
  std::vector<uint32_t> allowed_;      // [(vocabulary + 31) / 32], a bit an id
  bool may_end_ = false, finished_ = false;
};

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_GRAMMAR_H_
