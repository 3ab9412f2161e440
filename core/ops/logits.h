// What generation asks of a row of logits, a vocabulary wide. Vectorised for the CPU at hand.
#ifndef ATTND_CORE_OPS_LOGITS_H_
#define ATTND_CORE_OPS_LOGITS_H_

#include <cstdint>

#include "absl/types/span.h"

namespace attnd {

// The first of the largest. Logits are not empty; where one is NaN, any index.
int32_t ArgMax(absl::Span<const float> logits);

// log(sum(exp(logits))): a logit less this is a log-probability. Within 1e-5 where the vocabulary is below 2^20.
float LogSumExp(absl::Span<const float> logits);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_LOGITS_H_
