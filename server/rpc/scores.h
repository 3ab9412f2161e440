// Scores: what becomes of a head's logits.
#ifndef ATTND_SERVER_RPC_SCORES_H_
#define ATTND_SERVER_RPC_SCORES_H_

#include <vector>

#include "absl/types/span.h"
#include "core/model/task.h"

namespace attnd {

// In place.
void Softmax(absl::Span<float> values);
void Sigmoid(absl::Span<float> values);
// One row of a classifier's labels, as its problem type has it: softmax, sigmoid, or the logits themselves.
void ToScores(ProblemType problem, absl::Span<float> logits);

// Positions of the `k` largest values, largest first, the earlier first among equals; all where `k` is 0 or more than
// there are.
std::vector<int> TopIndices(absl::Span<const float> values, size_t k);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_SCORES_H_
