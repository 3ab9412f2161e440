// Linear: y = x W^T + b over weights packed once, as tiles of one ukernel with a fused epilogue.
#ifndef ATTND_CORE_OPS_LINEAR_H_
#define ATTND_CORE_OPS_LINEAR_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/base/aligned.h"
#include "core/base/work_team.h"
#include "core/ops/activation.h"
#include "core/ops/ukernel.h"

namespace attnd {

// Immutable after construction; Run may be called by any number of threads with different outputs.
class Linear {
 public:
  // Rows that the last tile may read and write beyond `rows`: x and y must have room for them.
  static constexpr int kPaddingRows = 8;

  // `weight` is [outputs, inputs] row-major, as checkpoints store it; `bias` is [outputs], or empty for none.
  Linear(absl::Span<const float> weight, absl::Span<const float> bias, int outputs, int inputs);

  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }
  int64_t bytes() const { return static_cast<int64_t>((packed_.size() + bias_.size()) * sizeof(float)); }

  // y = activation(x W^T + b).
  void Run(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows, Activation activation,
           float* y /* [rows, outputs] */) const;
  // y = x W^T + b + residual; residual must not be y.
  void RunAddResidual(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows,
                      const float* residual /* [rows, outputs] */, float* y /* [rows, outputs] */) const;

 private:
  template <typename Epilogue>
  void RunTiles(WorkTeam::Session& team, const float* x, int rows, float* y, const Epilogue& epilogue) const;

  const int inputs_, outputs_;
  const int block_;              // columns of a packed block: 16 on AVX2, 32 on AVX-512, as measured
  AlignedBuffer<float> packed_;  // [blocks][inputs, block_]; columns of the last block beyond `outputs` are 0
  std::vector<float> bias_;      // [outputs]
  const UkernelTable* whole_;    // blocks of block_ columns
  const UkernelTable* last_;     // the last block, which may be narrower
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_LINEAR_H_
