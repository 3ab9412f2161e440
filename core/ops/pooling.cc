#include "core/ops/pooling.h"

#include <algorithm>
#include <cmath>

namespace attnd {

// Plain loops: a row is read once per token, next to 20 MFLOP of linears for it.
void Pool(PoolingMode mode, const float* hidden, int tokens, int columns, float* pooled) {
  std::copy(hidden, hidden + columns, pooled);
  if (mode == PoolingMode::kCls) return;
  for (int t = 1; t < tokens; ++t) {
    const float* row = hidden + int64_t{t} * columns;
    if (mode == PoolingMode::kMean) {
      for (int c = 0; c < columns; ++c) pooled[c] += row[c];
    } else {
      for (int c = 0; c < columns; ++c) pooled[c] = std::max(pooled[c], row[c]);
    }
  }
  if (mode == PoolingMode::kMean) {
    for (int c = 0; c < columns; ++c) pooled[c] /= static_cast<float>(tokens);
  }
}

void NormalizeL2(int columns, float* vector) {
  double squares = 0;
  for (int c = 0; c < columns; ++c) squares += static_cast<double>(vector[c]) * vector[c];
  const float norm = std::max(static_cast<float>(std::sqrt(squares)), 1e-12f);
  for (int c = 0; c < columns; ++c) vector[c] /= norm;
}

}  // namespace attnd
