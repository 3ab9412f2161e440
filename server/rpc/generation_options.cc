#include "server/rpc/generation_options.h"

#include <algorithm>
#include <limits>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/ops/status.h"

namespace attnd {
namespace {

// What is more than any limit stays so.
int Bounded(uint32_t value, uint32_t limit) { return static_cast<int>(std::min(value, limit)); }

uint64_t DrawnSeed() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return generator() >> 11;  // clients that read JSON know whole numbers up to 2^53
}

}  // namespace

absl::StatusOr<GenerationRequest> ToGenerationRequest(const v1::GenerationOptions& o, const DecoderModel& model,
                                                      absl::string_view field) {
  const DecoderConfig& config = model.config();
  GenerationRequest request;
  if (o.grammar_case() != v1::GenerationOptions::GRAMMAR_NOT_SET) {
    auto grammar = o.has_regex() ? Grammar::FromRegex(*model.tokenizer, o.regex())
                                 : Grammar::FromJsonSchema(*model.tokenizer, o.json_schema());
    if (!grammar.ok()) return GenerationError(grammar.status(), field, field);
    request.grammar = *std::move(grammar);
  }
  const uint32_t context = static_cast<uint32_t>(config.max_tokens);
  if (o.has_max_tokens()) request.max_tokens = Bounded(o.max_tokens(), context);
  request.max_tokens = std::min(request.max_tokens, config.max_tokens);
  request.min_tokens = Bounded(o.min_tokens(), context + 1);
  request.ignore_eos = o.ignore_eos();
  request.stop_ids.assign(o.stop_ids().begin(), o.stop_ids().end());
  request.stop_strings.assign(o.stop().begin(), o.stop().end());
  if (o.has_logprobs()) request.logprobs = Bounded(o.logprobs(), kLogprobsMax + 1);
  request.prompt_logprobs = o.prompt_logprobs();
  SamplingOptions& sampling = request.sampling;
  if (o.has_repetition_penalty()) sampling.repetition_penalty = o.repetition_penalty();
  sampling.presence_penalty = o.presence_penalty();
  sampling.frequency_penalty = o.frequency_penalty();
  sampling.logit_bias.assign(o.logit_bias().begin(), o.logit_bias().end());
  if (o.has_temperature()) sampling.temperature = o.temperature();
  sampling.top_k = Bounded(o.top_k(), static_cast<uint32_t>(config.vocab_size));
  if (o.has_top_p()) sampling.top_p = o.top_p();
  sampling.min_p = o.min_p();
  if (o.has_typical_p()) sampling.typical_p = o.typical_p();
  sampling.seed = o.has_seed() ? o.seed() : DrawnSeed();
  return request;
}

absl::StatusOr<std::vector<GenerationRequest>> ForEachAnswer(const GenerationRequest& request, uint32_t n) {
  if (n > kAnswersMax) return FieldError("options.n", absl::StrCat(n, ", at most ", kAnswersMax));
  std::vector<GenerationRequest> requests(std::max<uint32_t>(1, n), request);
  for (size_t i = 1; i < requests.size(); ++i) {
    requests[i].sampling.seed += i;
    requests[i].prompt_logprobs = false;  // the first one's are those of all
  }
  return requests;
}

absl::Status GenerationError(const absl::Status& status, absl::string_view options, absl::string_view prompt) {
  if (status.code() != absl::StatusCode::kInvalidArgument) return status;
  absl::string_view message = status.message();
  const absl::string_view name = message.substr(0, message.find_first_of(" :"));
  message.remove_prefix(name.size());
  for (const absl::string_view between : {":", " ", "is "}) absl::ConsumePrefix(&message, between);
  if (name == "prompt") return WithField(absl::InvalidArgumentError(message), prompt);
  return WithField(absl::InvalidArgumentError(message), absl::StrCat(options, ".", name));
}

}  // namespace attnd
