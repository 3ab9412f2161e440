// What generation asks of a row of logits, a vocabulary wide. Vectorised for the CPU at hand.
#ifndef ATTND_CORE_OPS_LOGITS_H_
#define ATTND_CORE_OPS_LOGITS_H_

#include <cstdint>

#include "absl/types/span.h"

namespace attnd {

// The first of the largest. Logits are not empty; where one is NaN, any index.
int32_t ArgMax(absl::Span<const float> logits);

// log(sum(exp(logits))), within 2e-6: a logit less this is a log-probability. NaN counts as nothing.
double LogSumExp(absl::Span<const float> logits);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_LOGITS_H_
