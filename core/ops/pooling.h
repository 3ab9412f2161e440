// Pooling: the token vectors of one sequence become one vector (sentence-transformers' Pooling and Normalize modules).
#ifndef ATTND_CORE_OPS_POOLING_H_
#define ATTND_CORE_OPS_POOLING_H_

#include <cstdint>

namespace attnd {

// kMean: the mean over all tokens, special ones included. kCls: the first token. kMax: the largest value of each
// column.
enum class PoolingMode { kMean, kCls, kMax };

void Pool(PoolingMode mode, const float* hidden /* [tokens, columns] */, int tokens, int columns,
          float* pooled /* [columns] */);

// Divides by the L2 norm; a vector of norm below 1e-12 is divided by that, as PyTorch does.
void NormalizeL2(int columns, float* vector /* [columns] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_POOLING_H_
