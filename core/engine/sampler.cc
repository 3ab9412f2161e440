#include "core/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "core/ops/logits.h"

namespace attnd {
namespace {

constexpr size_t kBiasesMax = 1024;

absl::Status CheckRange(const char* name, float value, float min, float max, bool above_min) {
  if (value >= min && value <= max && !(above_min && value == min)) return absl::OkStatus();  // NaN is refused
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, ", must be ", above_min ? "above " : "from ", min,
                                                 above_min ? ", at most " : " to ", max));
}

// A uniform number in [0, 1) that depends on nothing but its arguments (SplitMix64).
double Uniform(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
  for (int round = 0; round < 2; ++round) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
  }
  return static_cast<double>(z >> 11) * 0x1p-53;
}

}  // namespace

absl::Status CheckSampling(const SamplingOptions& o, int vocab_size) {
  absl::Status status = CheckRange("temperature", o.temperature, 0, 100, false);
  status.Update(CheckRange("top_p", o.top_p, 0, 1, true));
  status.Update(CheckRange("min_p", o.min_p, 0, 1, false));
  status.Update(CheckRange("typical_p", o.typical_p, 0, 1, true));
  status.Update(CheckRange("repetition_penalty", o.repetition_penalty, 0, 100, true));
  status.Update(CheckRange("presence_penalty", o.presence_penalty, -2, 2, false));
  status.Update(CheckRange("frequency_penalty", o.frequency_penalty, -2, 2, false));
  if (!status.ok()) return status;
  if (o.top_k < 0) return absl::InvalidArgumentError(absl::StrCat("top_k is ", o.top_k, ", must be 0 or more"));
  if (o.logit_bias.size() > kBiasesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("logit_bias has ", o.logit_bias.size(), " entries, the limit is ", kBiasesMax));
  }
  for (const auto& [id, bias] : o.logit_bias) {
    if (id < 0 || id >= vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("logit_bias names token ", id, ", the vocabulary has 0 to ", vocab_size - 1));
    }
    if (absl::Status one = CheckRange("logit_bias", bias, -100, 100, false); !one.ok()) return one;
  }
  return absl::OkStatus();
}

Sampler::Sampler(const SamplingOptions& options, absl::Span<const int32_t> prompt) : options_(options) {
  if (options_.repetition_penalty == 1) return;  // the only option that looks at the prompt
  for (const int32_t id : prompt) ++counts_[id].prompt;
}

void Sampler::Penalize(absl::Span<float> logits) const {
  for (const auto& [id, count] : counts_) {
    float& logit = logits[id];
    const float penalty = options_.repetition_penalty;
    if (penalty != 1) logit = logit > 0 ? logit / penalty : logit * penalty;
    if (count.answer > 0) {
      logit -= options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count.answer);
    }
  }
  for (const auto& [id, bias] : options_.logit_bias) logits[id] += bias;
}

int32_t Sampler::Sample(int64_t index, absl::Span<float> logits, absl::Span<const int32_t> forbidden) {
  Penalize(logits);
  for (const int32_t id : forbidden) logits[id] = kNever;
  const int32_t best_id = ArgMax(logits);
  const float best = logits[best_id];
  // A temperature whose inverse is no float would make scores NaN, and only the best can be picked there.
  const float inverse = 1 / options_.temperature;
  if (!std::isfinite(inverse) || !std::isfinite(best)) return best_id;
  candidates_.clear();
  // exp underflows beyond: such a token is never picked.
  constexpr float kGap = 104;
  for (size_t id = 0; id < logits.size(); ++id) {
    const float logit = (logits[id] - best) * inverse;
    if (logit > -kGap) candidates_.push_back({logit, static_cast<int32_t>(id), 0});
  }
  Cut();
  double sum = 0;
  for (const Candidate& candidate : candidates_) sum += candidate.probability;
  double left = Uniform(options_.seed, static_cast<uint64_t>(index)) * sum;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.probability;
    if (left < 0) return candidate.id;
  }
  return candidates_.back().id;
}

void Sampler::Cut() {
  const auto more_likely = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
  };
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(), more_likely);
    candidates_.resize(options_.top_k);
  }
  // The distribution of those left. Largest logit: 0.
  const auto renormalize = [&] {
    double sum = 0;
    for (Candidate& candidate : candidates_) sum += candidate.probability = std::exp(candidate.logit);
    for (Candidate& candidate : candidates_) candidate.probability = static_cast<float>(candidate.probability / sum);
  };
  renormalize();
  if (options_.top_p < 1) {
    // Those too unlikely to be kept by any order leave before sorting: together they have less than 1 - top_p.
    const float floor = (1 - options_.top_p) / static_cast<float>(candidates_.size());
    const float largest = std::max_element(candidates_.begin(), candidates_.end(), [](const auto& a, const auto& b) {
                            return a.logit < b.logit;
                          })->probability;
    std::erase_if(candidates_, [&](const Candidate& c) { return c.probability < floor && c.probability < largest; });
    std::sort(candidates_.begin(), candidates_.end(), more_likely);
    double mass = 0;
    size_t kept = 0;
    while (kept < candidates_.size() && mass < options_.top_p) mass += candidates_[kept++].probability;
    candidates_.resize(kept);
  }
  if (options_.min_p > 0) {
    const float least = std::log(options_.min_p);  // relative to the best, whose logit is 0
    std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < least; });
  }
  if (options_.typical_p < 1) {
    renormalize();
    double entropy = 0;
    for (const Candidate& c : candidates_) {
      if (c.probability > 0) entropy -= c.probability * std::log(c.probability);
    }
    const auto distance = [&](const Candidate& c) {
      return c.probability > 0 ? std::abs(-std::log(c.probability) - entropy) : std::numeric_limits<double>::infinity();
    };
    std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
      const double da = distance(a), db = distance(b);
      return da < db || (da == db && a.id < b.id);
    });
    double mass = 0;
    size_t kept = 0;
    while (kept < candidates_.size() && mass < options_.typical_p) mass += candidates_[kept++].probability;
    candidates_.resize(kept);
  }
  // In the order of ids: the pick does not depend on how the cuts ordered them.
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.id < b.id; };
  if (!std::is_sorted(candidates_.begin(), candidates_.end(), by_id)) {
    std::sort(candidates_.begin(), candidates_.end(), by_id);
  }
  renormalize();
}

float LogprobOf(absl::Span<const float> logits, int32_t token) {
  return static_cast<float>(logits[token] - LogSumExp(logits));
}

std::vector<TokenLogprob> TopLogprobs(absl::Span<const float> logits, double log_sum, int top) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count = std::min<std::ptrdiff_t>(top, static_cast<std::ptrdiff_t>(ids.size()));
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(),
                    [&](int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); });
  std::vector<TokenLogprob> result;
  for (std::ptrdiff_t i = 0; i < count; ++i) result.push_back({ids[i], static_cast<float>(logits[ids[i]] - log_sum)});
  return result;
}

}  // namespace attnd
