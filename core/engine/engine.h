// Engine: one ragged step: sequences in, embeddings, hidden states and attention out.
#ifndef ATTND_CORE_ENGINE_ENGINE_H_
#define ATTND_CORE_ENGINE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/base/work_team.h"
#include "core/model/model.h"

namespace attnd {

// One sequence of a step. Everything pointed to is the caller's and must live until Run returns.
struct SequenceJob {
  absl::Span<const int32_t>
      ids;  // [tokens], 1 to config.max_tokens, each inside the vocabulary (Engine::Check says so)
  absl::Span<const int32_t> type_ids;  // [tokens] or empty
  AttentionSink* sink = nullptr;       // null: no attention is looked at
  float* embedding = nullptr;          // [hidden_size] pooled vector, or null
  float* last_hidden = nullptr;        // [tokens, hidden_size], or null
  std::optional<bool> normalize;       // overrides config.pooling.normalize
};

// Runs steps of one model. Thread rule: one Engine per worker thread; engines share the model and the team.
class Engine {
 public:
  Engine(const Model& model, WorkTeam& team);  // both outlive the engine
  ~Engine();

  // Runs all `jobs` as one ragged batch and writes their outputs. `keep_going` is asked between layers; when it answers
  // false the step ends with kCancelled and the outputs are unspecified. Sinks have seen all their tiles when it
  // returns OK.
  absl::Status Run(absl::Span<const SequenceJob> jobs, absl::FunctionRef<bool()> keep_going);

  // Whether a sequence may be run: kInvalidArgument naming the count or id and the limit. Call before queueing.
  static absl::Status Check(const ModelConfig& config, absl::Span<const int32_t> ids,
                            absl::Span<const int32_t> type_ids);

 private:
  const Model& model_;
  WorkTeam& team_;
  PackedBatch batch_;  // reused between steps
  std::unique_ptr<Encoder::Workspace> workspace_;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_ENGINE_H_
