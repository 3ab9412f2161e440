// Generation: what is asked of a decoder for one prompt, and what comes back.
#ifndef ATTND_CORE_ENGINE_GENERATION_H_
#define ATTND_CORE_ENGINE_GENERATION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "core/attention/index_range.h"
#include "core/attention/sink.h"
#include "core/engine/sampler.h"
#include "core/model/decoder_config.h"
#include "core/text/grammar.h"

namespace attnd {

enum class HiddenPooling { kNone, kLast, kMean };

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least 1 token
  SamplingOptions sampling;
  int max_tokens = 256;                   // of the answer; 0: the prompt is only read (prompt_logprobs, embedding)
  int min_tokens = 0;                     // no end token before
  bool ignore_eos = false;                // the model's end tokens do not end the answer
  std::vector<int32_t> stop_ids;          // end the answer as its end tokens do
  std::vector<std::string> stop_strings;  // end the answer; neither they nor what follows is text
  // What the answer's tokens keep to, special ones never among them; null: anything. End tokens are possible where the
  // text is a whole one, and the answer ends by itself where nothing may follow.
  std::shared_ptr<const Grammar> grammar;
  int logprobs = -1;                               // -1: none; else of each token, beside this many most probable ones
  bool prompt_logprobs = false;                    // of prompt tokens from logprobs_from on
  int logprobs_from = 1;                           // 1 or more: the first token has none
  HiddenPooling embedding = HiddenPooling::kNone;  // of the prompt's tokens after the final norm

  // Sees the row behind each token of the answer: token i of it came out of the row of the token before, whose query
  // position is prompt + i - 1, and whose keys are all tokens up to that position, and these rows of the prompt. A row
  // may be seen again, with the same numbers, when a sequence was computed again. Must live until the end.
  AttentionSink* attention = nullptr;
  TokenSpan prompt_attention;  // within the prompt; empty: none
};

// kInvalidArgument begins with the field ("stop" and "stop_ids" are those of stop_strings and stop_ids) and names the
// value and the limit.
absl::Status CheckGeneration(const GenerationRequest& request, const DecoderConfig& config);

inline constexpr size_t kStopStringsMax = 16;
inline constexpr size_t kStopStringBytesMax = 256;
inline constexpr size_t kStopIdsMax = 64;
inline constexpr int kLogprobsMax = 20;

enum class FinishReason {
  kStop,       // an end token, a stop string, or the end of the grammar
  kLength,     // max_tokens, or the model's context
  kCancelled,  // the listener wanted no more, or the generator stopped
  kFailed,     // see status
};
std::string_view FinishReasonName(FinishReason reason);  // "stop", "length", "cancelled", "failed"

struct GeneratedToken {
  int index;  // 0 for the first token of the answer
  int32_t id;
  std::string text;   // what the answer grew by: whole characters, often none, at the last token all that was held back
  float logprob;      // where asked for, of the model's own distribution
  bool last = false;  // the answer ends with it
  int more = 0;       // tokens of the answer that came out of the same step and follow at once
  std::vector<TokenLogprob> top;
};

struct GenerationSummary {
  FinishReason reason = FinishReason::kFailed;
  absl::Status status;  // not OK where kFailed
  int prompt_tokens = 0;
  int shared_tokens = 0;  // of the prompt: taken over from another's pages
  int generated_tokens = 0;
  int preemptions = 0;
  std::vector<float> prompt_logprobs;  // [prompt - logprobs_from]
  std::vector<bool> prompt_greedy;     // the same: whether the token was the most probable one
  std::vector<float> embedding;        // [embedding_size], after the dense modules, not normalised
};

// Called by the thread that runs the generator, between steps: must not block. Wanted() first, OnStart, then tokens in
// order, then OnEnd once, and nothing after it. An end may come before the start.
class GenerationListener {
 public:
  virtual ~GenerationListener() = default;
  // Asked before every step: false (client gone, deadline passed) ends the sequence as kCancelled, its pages free.
  virtual bool Wanted() = 0;
  // Asked after it: false (what came was not taken yet) pauses the sequence until it is true again, which
  // Generator::Wake tells. Pages of a paused sequence go first where others need some.
  virtual bool Ready() { return true; }
  virtual void OnStart() {}  // its first step begins
  virtual void OnToken(const GeneratedToken& token) = 0;
  virtual void OnEnd(GenerationSummary summary) = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_GENERATION_H_
