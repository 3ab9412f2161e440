#include "core/ops/gated.h"

#include <vector>

namespace attnd {

void GateRows(Activation activation, int rows, int columns, float* x, float* y) {
  static thread_local std::vector<float> no_bias;
  if (no_bias.size() < static_cast<size_t>(columns)) no_bias.assign(columns, 0.0f);
  AddBiasAndActivate(activation, no_bias.data(), rows, columns, 2 * int64_t{columns}, x);
  for (int r = 0; r < rows; ++r) {
    const float* __restrict gate = x + r * int64_t{2} * columns;
    const float* __restrict up = gate + columns;
    float* __restrict to = y + r * int64_t{columns};
    for (int c = 0; c < columns; ++c) to[c] = gate[c] * up[c];
  }
}

}  // namespace attnd
