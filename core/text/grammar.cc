#include "core/text/grammar.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/text/ffi/attnd_tokenizers.h"
#include "core/text/ffi_string.h"

namespace attnd {
namespace {

absl::Status ToStatus(int code, attnd_string error) {
  const std::string message = absl::StrCat("the grammar: ", Take(error));
  return code == ATTND_EXHAUSTED ? absl::ResourceExhaustedError(message) : absl::InternalError(message);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Grammar>> Grammar::Compile(const Tokenizer& tokenizer, int kind,
                                                                std::string_view source) {
  const char* const field = kind == ATTND_REGEX ? "regex" : "json_schema";
  const size_t limit = kind == ATTND_REGEX ? kRegexBytesMax : kSchemaBytesMax;
  if (source.size() > limit) {
    return absl::InvalidArgumentError(absl::StrCat(field, " has ", source.size(), " bytes, the limit is ", limit));
  }
  attnd_grammar* handle = nullptr;
  attnd_string error{};
  const int code = attnd_grammar_compile(tokenizer.handle_, kind, Bytes(source), source.size(), &handle, &error);
  // A panic of the crate, too, is for what it was given.
  if (code != ATTND_OK) return absl::InvalidArgumentError(absl::StrCat(field, ": ", Take(error)));
  return std::shared_ptr<const Grammar>(new Grammar(handle, tokenizer.vocabulary_size()));
}

absl::StatusOr<std::shared_ptr<const Grammar>> Grammar::FromJsonSchema(const Tokenizer& tokenizer,
                                                                       std::string_view schema) {
  return Compile(tokenizer, ATTND_JSON_SCHEMA, schema);
}

absl::StatusOr<std::shared_ptr<const Grammar>> Grammar::FromRegex(const Tokenizer& tokenizer, std::string_view regex) {
  return Compile(tokenizer, ATTND_REGEX, regex);
}

Grammar::~Grammar() { attnd_grammar_free(handle_); }

absl::StatusOr<std::unique_ptr<GrammarState>> GrammarState::Start(const Grammar& grammar) {
  attnd_grammar_state* handle = nullptr;
  attnd_string error{};
  if (const int code = attnd_grammar_start(grammar.handle_, &handle, &error); code != ATTND_OK) {
    return ToStatus(code, error);
  }
  std::unique_ptr<GrammarState> state(new GrammarState(handle, grammar.vocabulary_));
  if (absl::Status status = state->Look(); !status.ok()) return status;
  return state;
}

GrammarState::~GrammarState() { attnd_grammar_state_free(handle_); }

absl::Status GrammarState::Look() {
  attnd_string error{};
  const int code = attnd_grammar_allowed(handle_, allowed_.data(), &may_end_, &error);
  if (code != ATTND_OK) return ToStatus(code, error);
  finished_ = std::all_of(allowed_.begin(), allowed_.end(), [](uint32_t word) { return word == 0; });
  return absl::OkStatus();
}

absl::Status GrammarState::Accept(int32_t id) {
  attnd_string error{};
  if (const int code = attnd_grammar_accept(handle_, static_cast<uint32_t>(id), &error); code != ATTND_OK) {
    return ToStatus(code, error);
  }
  return Look();
}

}  // namespace attnd
