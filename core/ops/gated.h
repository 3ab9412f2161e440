// The gate of a feed-forward part: "GLU Variants Improve Transformer", Shazeer, 2020.
#ifndef ATTND_CORE_OPS_GATED_H_
#define ATTND_CORE_OPS_GATED_H_

#include <cstdint>

#include "core/ops/activation.h"

namespace attnd {

// y = activation(gate) * up; `x` holds gate and up side by side and its gate half is overwritten on the way.
void GateRows(Activation activation, int rows, int columns, float* x /* [rows, 2 * columns] */,
              float* y /* [rows, columns] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_GATED_H_
