#include "core/text/tokenizer.h"

#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/text/ffi/attnd_tokenizers.h"
#include "core/text/ffi_string.h"
#include "core/text/read_file.h"
#include "core/text/truncate.h"

namespace attnd {
namespace {

constexpr size_t kFileBytesMax = size_t{256} << 20;

static_assert(sizeof(TextSpan) == 2 * sizeof(int32_t), "attnd_encoding_read writes spans as pairs");

absl::Status ToStatus(int code, attnd_string error) {
  std::string message = Take(error);
  return code == ATTND_INVALID ? absl::InvalidArgumentError(message) : absl::InternalError(message);
}

}  // namespace

Tokenizer::Tokenizer(attnd_tokenizer* handle) : handle_(handle), vocabulary_size_(attnd_tokenizer_id_limit(handle)) {}

Tokenizer::~Tokenizer() { attnd_tokenizer_free(handle_); }

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path, kFileBytesMax);
  if (!content.ok()) return content.status();
  return Parse(*content, path);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Parse(std::string_view json, const std::string& name) {
  attnd_tokenizer* handle = nullptr;
  attnd_string error{};
  if (attnd_tokenizer_load(Bytes(json), json.size(), &handle, &error) != ATTND_OK) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", Take(error)));
  }
  return std::unique_ptr<Tokenizer>(new Tokenizer(handle));
}

absl::StatusOr<Encoding> Tokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  return Run(text, nullptr, options);
}

absl::StatusOr<Encoding> Tokenizer::EncodePair(std::string_view text, std::string_view pair,
                                               const EncodeOptions& options) const {
  return Run(text, &pair, options);
}

absl::StatusOr<Encoding> Tokenizer::Run(std::string_view text, const std::string_view* pair,
                                        const EncodeOptions& options) const {
  const std::string_view second = pair == nullptr ? std::string_view() : *pair;
  constexpr size_t kTextBytesMax = std::numeric_limits<int32_t>::max();
  if (text.size() > kTextBytesMax || second.size() > kTextBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("the text is longer than ", kTextBytesMax, " bytes"));
  }
  attnd_encoding* raw = nullptr;
  attnd_string error{};
  const int code = attnd_tokenizer_encode(handle_, Bytes(text), text.size(), Bytes(second), second.size(),
                                          pair != nullptr, options.add_special_tokens, &raw, &error);
  if (code != ATTND_OK) return ToStatus(code, error);
  const std::unique_ptr<attnd_encoding, void (*)(attnd_encoding*)> encoding(raw, &attnd_encoding_free);
  const size_t tokens = attnd_encoding_tokens(raw);
  Encoding result;
  result.ids.resize(tokens);
  result.type_ids.resize(tokens);
  result.spans.resize(tokens);
  result.special.resize(tokens);
  result.word_ids.resize(tokens);
  result.sequence_ids.resize(tokens);
  if (tokens > 0) {
    attnd_encoding_read(raw, result.ids.data(), result.type_ids.data(), &result.spans.data()->begin,
                        result.special.data(), result.word_ids.data(), result.sequence_ids.data());
  }
  if (absl::Status status = TruncateEncoding(options, result); !status.ok()) return status;
  return result;
}

absl::StatusOr<std::string> Tokenizer::Decode(absl::Span<const int32_t> ids, bool skip_special_tokens) const {
  attnd_string text{};
  attnd_string error{};
  const int code = attnd_tokenizer_decode(handle_, reinterpret_cast<const uint32_t*>(ids.data()), ids.size(),
                                          skip_special_tokens, &text, &error);
  if (code != ATTND_OK) return ToStatus(code, error);
  return Take(text);
}

std::string Tokenizer::TokenText(int32_t id) const {
  attnd_string text{};
  if (attnd_tokenizer_token(handle_, static_cast<uint32_t>(id), &text) != ATTND_OK) return "";
  return Take(text);
}

int32_t Tokenizer::TokenId(std::string_view token) const {
  return attnd_tokenizer_token_id(handle_, Bytes(token), token.size());
}

}  // namespace attnd
