// Rollout: how much of each input token reaches a row of the last layer, with the residual connections counted.
#ifndef ATTND_CORE_ATTENTION_ROLLOUT_H_
#define ATTND_CORE_ATTENTION_ROLLOUT_H_

#include <vector>

#include "core/base/aligned.h"

namespace attnd {

// One row of A = rownorm(P + I), in place. `row` is [tokens], of token `token`.
void AddResidual(float* row, int tokens, int token);

// The rows `rows` of A_top ... A_1 A_0, from the top, so that only those rows are ever multiplied: layers x rows x
// tokens^2 multiply-adds. `a` is [layers, tokens, tokens]. // returns [rows.size(), tokens]
AlignedBuffer<float> RolloutRows(const float* a, int layers, int tokens, const std::vector<int>& rows);

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_ROLLOUT_H_
