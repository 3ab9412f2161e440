#include "server/rpc/tokenize_calls.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/rpc/replies.h"

namespace attnd {

void TokenizeCall::Run() {
  Tokenising([this] { Answer(); });
}

void TokenizeCall::Answer() {
  if (const absl::Status status = Tokenize(); !status.ok()) return Fail(status);
  job_.EndRespond();
  FillTimings(job_.times(), job_.total(), *response_.mutable_timings());
  monitor_.SetModel(job_.served_model());
  monitor_.Observe(job_.times(), response_.texts_size(), job_.tokens());
  Respond(response_);
}

absl::Status TokenizeCall::Tokenize() {
  if (absl::Status status = job_.ResolveAnyModel(request_.model()); !status.ok()) return status;
  const auto truncate = ToTruncate(request_.truncate());
  if (!truncate.ok()) return truncate.status();
  EncodeOptions options;
  options.add_special_tokens = !request_.has_add_special_tokens() || request_.add_special_tokens();
  // Refusing refuses nothing here: how many tokens a long text has is a fair question.
  options.max_tokens = *truncate == Truncate::kRefuse ? 0 : job_.served().shape().max_tokens;
  options.truncate = *truncate;
  const std::vector<absl::string_view> texts(request_.texts().begin(), request_.texts().end());
  if (absl::Status status = job_.TokeniseOnly(texts, options, "texts"); !status.ok()) return status;
  if (absl::Status status = job_.HoldPart(job_.tokens() * kTokenBytes, "tokens"); !status.ok()) return status;
  response_.mutable_texts()->Reserve(static_cast<int>(texts.size()));
  for (TextSequence& sequence : job_.sequences()) {
    FillTokens(std::exchange(sequence.encoding, {}), job_.served().tokenizer(),
               *response_.add_texts()->mutable_tokens());
  }
  return absl::OkStatus();
}

void DetokenizeCall::Run() {
  Tokenising([this] { Answer(); });
}

void DetokenizeCall::Answer() {
  if (const absl::Status status = Detokenize(); !status.ok()) return Fail(status);
  job_.EndRespond();
  monitor_.SetModel(job_.served_model());
  monitor_.Observe(job_.times(), response_.texts_size(), 0);
  Respond(response_);
}

absl::Status DetokenizeCall::Detokenize() {
  if (absl::Status status = job_.ResolveAnyModel(request_.model()); !status.ok()) return status;
  const int64_t limit = context_.limits.max_texts_per_call;
  if (request_.sequences_size() < 1 || request_.sequences_size() > limit) {
    return FieldError("sequences", absl::StrCat(request_.sequences_size(), " sequences: at least 1, at most ", limit,
                                                " (max_texts_per_call)"));
  }
  job_.EndValidate();
  for (int i = 0; i < request_.sequences_size(); ++i) {
    auto text = job_.served().tokenizer().Decode(request_.sequences(i).ids(), request_.skip_special_tokens());
    if (!text.ok()) return WithField(text.status(), absl::StrCat("sequences[", i, "].ids"));
    response_.add_texts(*std::move(text));
  }
  job_.EndTokenise();
  return absl::OkStatus();
}

}  // namespace attnd
