// How texts and ids get into a TextJob: counted, bounded, tokenised, checked.
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/engine/engine.h"
#include "server/ops/status.h"
#include "server/rpc/text_job.h"

namespace attnd {
namespace {

// "texts[3]"
std::string At(absl::string_view field, size_t i) { return absl::StrCat(field, "[", i, "]"); }

}  // namespace

EncodeOptions TextJob::ModelOptions(Truncate truncate) const {
  return {.max_tokens = max_tokens_, .truncate = truncate};
}

absl::Status TextJob::Tokenise(absl::Span<const absl::string_view> texts, Truncate truncate, absl::string_view field,
                               absl::string_view prompt) {
  if (absl::Status status = TokeniseOnly(texts, ModelOptions(truncate), field, prompt); !status.ok()) return status;
  for (size_t i = 0; i < sequences_.size(); ++i) {
    if (absl::Status status = CheckTokens(sequences_[i]); !status.ok()) return WithField(status, At(field, i));
  }
  return absl::OkStatus();
}

absl::Status TextJob::TokeniseOne(absl::string_view text, Truncate truncate, absl::string_view field) {
  if (absl::Status status = CheckBytes(text.size()); !status.ok()) return WithField(status, field);
  field_ = std::string(field);
  EndValidate();
  absl::Status status = Encode(text, nullptr, ModelOptions(truncate));
  if (status.ok()) status = CheckTokens(sequences_.back());
  EndTokenise();
  return WithField(status, field);
}

absl::Status TextJob::TokeniseOnly(absl::Span<const absl::string_view> texts, const EncodeOptions& options,
                                   absl::string_view field, absl::string_view prompt) {
  if (absl::Status status = CheckCount(texts.size(), field); !status.ok()) return status;
  field_ = std::string(field);
  for (size_t i = 0; i < texts.size(); ++i) {
    if (absl::Status status = CheckBytes(prompt.size() + texts[i].size()); !status.ok()) {
      return WithField(status, At(field, i));
    }
  }
  EndValidate();
  sequences_.reserve(texts.size());
  std::string prompted(prompt);  // with one text at a time: a prompt for many texts must not cost its size for each
  for (size_t i = 0; i < texts.size(); ++i) {
    absl::string_view text = texts[i];
    if (!prompt.empty()) {
      prompted.resize(prompt.size());
      absl::StrAppend(&prompted, text);
      text = prompted;
    }
    if (absl::Status status = Encode(text, nullptr, options); !status.ok()) return WithField(status, At(field, i));
  }
  EndTokenise();
  return absl::OkStatus();
}

absl::Status TextJob::TokenisePairs(absl::Span<const absl::string_view> firsts, absl::string_view first_field,
                                    absl::Span<const absl::string_view> seconds, absl::string_view second_field,
                                    Truncate truncate) {
  if (absl::Status status = CheckCount(seconds.size(), second_field); !status.ok()) return status;
  field_ = std::string(second_field);
  const bool shared = firsts.size() == 1 && seconds.size() > 1;
  for (size_t i = 0; i < firsts.size(); ++i) {
    const std::string field = firsts.size() == 1 ? std::string(first_field) : At(first_field, i);
    if (absl::Status status = CheckBytes(firsts[i].size()); !status.ok()) return WithField(status, field);
  }
  for (size_t i = 0; i < seconds.size(); ++i) {
    if (absl::Status status = CheckBytes(seconds[i].size()); !status.ok())
      return WithField(status, At(second_field, i));
  }
  EndValidate();
  sequences_.reserve(seconds.size());
  const EncodeOptions options = ModelOptions(truncate);
  for (size_t i = 0; i < seconds.size(); ++i) {
    absl::Status status = Encode(shared ? firsts[0] : firsts[i], &seconds[i], options);
    if (status.ok()) status = CheckTokens(sequences_.back());
    if (!status.ok()) return WithField(status, At(second_field, i));
  }
  EndTokenise();
  return absl::OkStatus();
}

absl::Status TextJob::CheckCount(size_t texts, absl::string_view field) const {
  const int64_t limit = context_.limits.max_texts_per_call;
  if (texts == 0) return FieldError(field, "at least 1 text is needed");
  if (static_cast<int64_t>(texts) <= limit) return absl::OkStatus();
  return FieldError(field, absl::StrCat(texts, " texts, at most ", limit, " are allowed (max_texts_per_call)"));
}

absl::Status TextJob::CheckBytes(size_t bytes) const {
  const int64_t limit = context_.limits.max_text_bytes;
  if (static_cast<int64_t>(bytes) <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(bytes, " bytes, at most ", limit, " are allowed (max_text_bytes)"));
}

absl::Status TextJob::Encode(absl::string_view text, const absl::string_view* pair, const EncodeOptions& options) {
  if (context_.batcher.Now() >= origin_.deadline) {
    return absl::DeadlineExceededError("the deadline passed while the texts were tokenised");
  }
  const Tokenizer& tokenizer = model_->tokenizer();
  const std::string_view first(text.data(), text.size());
  auto encoding = pair == nullptr ? tokenizer.Encode(first, options)
                                  : tokenizer.EncodePair(first, {pair->data(), pair->size()}, options);
  if (!encoding.ok()) return encoding.status();
  Add(*std::move(encoding));
  return absl::OkStatus();
}

absl::Status TextJob::TakeIds(std::vector<std::vector<int32_t>> ids, absl::string_view field) {
  if (ids.empty()) return FieldError(field, "at least 1 sequence is needed");
  if (static_cast<int64_t>(ids.size()) > context_.limits.max_texts_per_call) {
    return FieldError(field, absl::StrCat(ids.size(), " sequences, at most ", context_.limits.max_texts_per_call,
                                          " are allowed (max_texts_per_call)"));
  }
  field_ = std::string(field);
  sequences_.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    Encoding encoding;
    encoding.ids = std::move(ids[i]);
    encoding.spans.resize(encoding.ids.size());
    encoding.special.resize(encoding.ids.size());
    encoding.sequence_ids.resize(encoding.ids.size());
    encoding.word_ids.resize(encoding.ids.size());
    for (size_t t = 0; t < encoding.ids.size(); ++t) encoding.word_ids[t] = static_cast<int32_t>(t);
    Add(std::move(encoding));
    if (absl::Status status = CheckTokens(sequences_.back()); !status.ok()) return WithField(status, At(field, i));
  }
  EndValidate();
  return absl::OkStatus();
}

void TextJob::Add(Encoding encoding) {
  tokens_ += encoding.tokens();
  sequences_.push_back({.encoding = std::move(encoding)});
}

absl::Status TextJob::CheckTokens(const TextSequence& sequence) const {
  if (model_->is_decoder()) return CheckPrompt(sequence);
  return Engine::Check(config(), sequence.encoding.ids, sequence.encoding.type_ids);
}

}  // namespace attnd
