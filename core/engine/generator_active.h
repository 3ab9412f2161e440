// Generator::Active: one generation on its way, for the generator's own files.
#ifndef ATTND_CORE_ENGINE_GENERATOR_ACTIVE_H_
#define ATTND_CORE_ENGINE_GENERATOR_ACTIVE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/engine/constraint.h"
#include "core/engine/generator.h"
#include "core/engine/lookup.h"
#include "core/engine/wanted_rows.h"
#include "core/text/detokenizer.h"

namespace attnd {

// One generation on its way.
struct Generator::Active {
  Active(GenerationRequest asked, std::shared_ptr<GenerationListener> to, const Tokenizer& tokenizer,
         const DecoderConfig& config, int lookup_tokens)
      : request(std::move(asked)),
        listener(std::move(to)),
        sampler(request.sampling, request.prompt),
        detokenizer(tokenizer, request.prompt),
        stops(request.stop_strings),
        constraint(request.grammar),
        prompt(static_cast<int>(request.prompt.size())),
        wanted_rows(request, config.layers, config.heads),
        policy(lookup_tokens) {
    sequence.ids = request.prompt;
    sequence.owner = this;
    sequence.answers = request.max_tokens > 0;
    // Rows that somebody looks at must be computed, not taken over.
    if (request.prompt_attention.size() > 0) sequence.share_tokens = request.prompt_attention.begin;
    if (request.embedding == HiddenPooling::kMean) sequence.share_tokens = 0;
    if (request.prompt_logprobs) sequence.share_tokens = std::min(sequence.share_tokens, request.logprobs_from);
    sequence.logits = request.prompt_logprobs;
  }
  // Answers to the same prompt, which begin when this one has read it.
  std::vector<std::unique_ptr<Active>> followers;

  int generated() const { return static_cast<int>(sequence.ids.size()) - prompt; }
  // Says what may follow, for the next step to try.
  void Propose(int context) {
    sequence.drafts = 0;
    const bool decodes = sequence.running && !sequence.paused && sequence.pending() == 1 && generated() > 0;
    if (!decodes) return;
    // With all of them right one more token comes.
    const int tokens = static_cast<int>(sequence.ids.size());
    const int left = std::min(request.max_tokens - generated(), context - tokens) - 1;
    const int most = std::min({policy.most(), left, wanted_rows.KeepAtMost(tokens + policy.most())});
    if (most <= 0) return;
    lookup.Draft(sequence.ids, most, policy.agreement(), draft);
    sequence.drafts = static_cast<int>(draft.size());
  }
  bool IsEnd(int32_t id) const { return std::find(end_ids.begin(), end_ids.end(), id) != end_ids.end(); }

  const GenerationRequest request;
  const std::shared_ptr<GenerationListener> listener;
  ScheduledSequence sequence;
  Sampler sampler;
  Detokenizer detokenizer;
  StopMatcher stops;
  Constraint constraint;
  const int prompt;  // tokens
  WantedRows wanted_rows;
  TokenLookup lookup;
  DraftPolicy policy;
  std::vector<int32_t> draft;  // proposed for this step
  std::vector<int32_t> rows;   // the sequence's last token and what is tried of the draft, where anything is

  std::vector<int32_t> end_ids;        // model's and request's
  std::vector<GeneratedToken> tokens;  // of this step
  std::optional<FinishReason> finish;  // the last of them ends the answer
  std::vector<float> pooled;           // [hidden_size], of the prompt's rows so far
  int prompt_rows = 0;                 // whose outputs were taken: a sequence computed again gives them twice
  bool started = false;
  GenerationSummary summary;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_GENERATOR_ACTIVE_H_
