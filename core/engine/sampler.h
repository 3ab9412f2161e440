// Sampler: the next token out of the logits of one sequence.
#ifndef ATTND_CORE_ENGINE_SAMPLER_H_
#define ATTND_CORE_ENGINE_SAMPLER_H_

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace attnd {

// The logit of a token that is never sampled.
inline constexpr float kNever = -std::numeric_limits<float>::infinity();

// Defaults leave the model's distribution as it is. What follows is applied in this order.
struct SamplingOptions {
  float repetition_penalty =
      1;  // of every token of prompt and answer: positive logits divided, others multiplied; above 0
  float presence_penalty = 0;                         // subtracted from every token that the answer has; -2 to 2
  float frequency_penalty = 0;                        // subtracted as often as the answer has the token; -2 to 2
  std::vector<std::pair<int32_t, float>> logit_bias;  // added; -100 to 100 each
  float temperature = 1;  // divides; 0: always the most probable token, and nothing of what follows; at most 100
  int top_k = 0;          // keeps the k most probable; 0: all
  float top_p = 1;        // keeps the fewest most probable that reach this mass; above 0, at most 1
  float min_p = 0;        // keeps those at least this times as probable as the best; 0 to 1
  float typical_p = 1;    // "Locally Typical Sampling", Meister et al., 2022; above 0, at most 1
  uint64_t seed = 0;      // the same seed gives the same tokens, whatever runs beside
};

// kInvalidArgument names the option, the value and the limits.
absl::Status CheckSampling(const SamplingOptions& options, int vocab_size);

struct TokenLogprob {
  int32_t id;
  float logprob;  // of the model's own distribution, before any option
};

// State of one sequence. Used by one thread at a time.
class Sampler {
 public:
  Sampler(const SamplingOptions& options, absl::Span<const int32_t> prompt);

  // Picks token number `index` of the answer. `logits` is changed. Ids of `forbidden` are never picked.
  int32_t Sample(int64_t index, absl::Span<float> logits /* [vocab] */, absl::Span<const int32_t> forbidden);
  // Counts a token of the answer for the penalties.
  void Accept(int32_t token) { ++counts_[token].answer; }

 private:
  struct Count {
    int prompt = 0;
    int answer = 0;
  };
  struct Candidate {
    float logit;
    int32_t id;
    float probability;
  };
  void Penalize(absl::Span<float> logits) const;
  void Cut();  // leaves the candidates that options keep

  const SamplingOptions options_;
  absl::flat_hash_map<int32_t, Count> counts_;  // tokens of prompt and answer
  std::vector<Candidate> candidates_;           // scratch
};

// The log-probability of `token` and the `top` most probable ones, largest first.
float LogprobOf(absl::Span<const float> logits, int32_t token);
std::vector<TokenLogprob> TopLogprobs(absl::Span<const float> logits, double log_sum /* LogSumExp */, int top);

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_SAMPLER_H_
