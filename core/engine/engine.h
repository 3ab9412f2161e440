// Engine: one ragged step: sequences in, embeddings, hidden states and attention out.
#ifndef ATTND_CORE_ENGINE_ENGINE_H_
#define ATTND_CORE_ENGINE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/base/work_team.h"
#include "core/model/model.h"
#include "core/model/packed_batch.h"

namespace attnd {

// One sequence of a step. Everything pointed to is the caller's and must live until Run returns.
struct SequenceJob {
  absl::Span<const int32_t>
      ids;  // [tokens], 1 to config.max_tokens, each inside the vocabulary (Engine::Check says so)
  absl::Span<const int32_t> type_ids;  // [tokens] or empty
  AttentionSink* sink = nullptr;       // null: no attention is looked at
  float* embedding = nullptr;          // [embedding_size] pooled vector, or null
  float* last_hidden = nullptr;        // [tokens, hidden_size], or null
  std::optional<bool> normalize;       // overrides config.pooling.normalize
  // The head's output before softmax or sigmoid, or null; always null where config.task has no head. kClassify:
  // [labels]; kTokenClassify: [tokens, labels]; kFillMask: [logit_positions, vocab_size], of all tokens where that is
  // empty.
  float* logits = nullptr;
  absl::Span<const int32_t> logit_positions;  // kFillMask: indices of tokens, each below `tokens`, in any order
};

// Runs steps of one model. Rows of the last layer that no job asks for are not computed: a classifier needs one.
// Thread rule: one Engine per worker thread; engines share the model and the team.
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
  // Which rows of the last hidden states a job needs; empty: all.
  std::vector<int32_t> RowsOf(const SequenceJob& job) const;
  // Row `token` of sequence `i` in the last hidden states, which hold the rows of batch_.outputs.
  const float* RowAt(const float* hidden, int i, int32_t token) const;
  // Pools, and runs the dense modules, of the jobs that ask for an embedding.
  void Embed(absl::Span<const SequenceJob> jobs, const float* hidden, WorkTeam::Session& session);
  void RunHead(absl::Span<const SequenceJob> jobs, const float* hidden, WorkTeam::Session& session);

  const Model& model_;
  WorkTeam& team_;
  PackedBatch batch_;  // reused between steps
  std::unique_ptr<Encoder::Workspace> workspace_;
  DenseModules::Workspace dense_workspace_;
  Head::Workspace head_workspace_;
  std::vector<HeadRow> head_rows_;
  std::vector<float> head_pooled_;  // [sequences, hidden_size], where the head reads a mean
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_ENGINE_H_
