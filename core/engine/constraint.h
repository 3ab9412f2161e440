// Constraint: keeps the tokens of one answer within its grammar.
#ifndef ATTND_CORE_ENGINE_CONSTRAINT_H_
#define ATTND_CORE_ENGINE_CONSTRAINT_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/text/grammar.h"

namespace attnd {

// State of one sequence: it goes with the tokens, so that a sequence computed again keeps it. Used by one thread at a
// time.
class Constraint {
 public:
  explicit Constraint(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {}  // null: anything goes

  // Leaves the logits of tokens that may come next: text that the grammar allows, and `end_ids` where the text may end.
  // `eos_ids` are no text even where they end nothing. False: nothing is left, the answer is over before this token.
  bool Apply(absl::Span<const int32_t> end_ids, absl::Span<const int32_t> eos_ids, absl::Span<const int32_t> forbidden,
             absl::Span<float> logits /* [vocab] */);
  // Goes on by a token that Apply left, none of end_ids, and looks at what may follow: up to some milliseconds.
  void Accept(int32_t token);

  bool complete() const { return state_ != nullptr && state_->finished() && failure_.ok(); }  // nothing may follow
  // kInvalidArgument: the vocabulary can't say what the grammar wants; kResourceExhausted: a limit of the grammar's.
  const absl::Status& failure() const { return failure_; }
  bool over() const { return complete() || !failure_.ok(); }

 private:
  void Check(absl::Status status);

  const std::shared_ptr<const Grammar> grammar_;
  std::unique_ptr<GrammarState> state_;  // made with the first token
  absl::Status failure_;
};

}  // namespace attnd

#endif  // ATTND_CORE_ENGINE_CONSTRAINT_H_
