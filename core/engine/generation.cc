#include "core/engine/generation.h"

#include "absl/strings/str_cat.h"

namespace attnd {

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kFailed:
      return "failed";
  }
  return "";
}

absl::Status CheckGeneration(const GenerationRequest& request, const DecoderConfig& config) {
  const auto fault = [](const std::string& text) { return absl::InvalidArgumentError(text); };
  const int vocabulary = config.vocab_size;
  const int context = config.max_tokens;
  const int64_t prompt = static_cast<int64_t>(request.prompt.size());
  if (prompt == 0) return fault("prompt has 0 tokens, at least 1 is needed");
  if (prompt > context || (prompt == context && request.max_tokens > 0)) {
    return fault(absl::StrCat("prompt has ", prompt, " tokens, the model's context is ", context));
  }
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    if (request.prompt[i] < 0 || request.prompt[i] >= vocabulary) {
      return fault(absl::StrCat("prompt has id ", request.prompt[i], " at token ", i, ", the vocabulary has 0 to ",
                                vocabulary - 1));
    }
  }
  if (request.max_tokens < 0) return fault(absl::StrCat("max_tokens is ", request.max_tokens, ", must be 0 or more"));
  if (request.min_tokens < 0 || request.min_tokens > request.max_tokens) {
    return fault(
        absl::StrCat("min_tokens is ", request.min_tokens, ", must be from 0 to max_tokens ", request.max_tokens));
  }
  if (request.logprobs < -1 || request.logprobs > kLogprobsMax) {
    return fault(absl::StrCat("logprobs is ", request.logprobs, ", must be at most ", kLogprobsMax));
  }
  if (request.stop_strings.size() > kStopStringsMax) {
    return fault(absl::StrCat("stop has ", request.stop_strings.size(), " strings, at most ", kStopStringsMax));
  }
  if (request.stop_ids.size() > kStopIdsMax) {
    return fault(absl::StrCat("stop_ids has ", request.stop_ids.size(), " ids, at most ", kStopIdsMax));
  }
  for (const std::string& stop : request.stop_strings) {
    if (stop.empty() || stop.size() > kStopStringBytesMax) {
      return fault(absl::StrCat("stop has a string of ", stop.size(), " bytes, must be 1 to ", kStopStringBytesMax));
    }
  }
  for (const int32_t id : request.stop_ids) {
    if (id < 0 || id >= vocabulary) {
      return fault(absl::StrCat("stop_ids has ", id, ", the vocabulary has 0 to ", vocabulary - 1));
    }
  }
  return CheckSampling(request.sampling, vocabulary);
}

}  // namespace attnd
