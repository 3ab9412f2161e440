// Linear: y = x W^T + b over weights packed once, as tiles of one ukernel with a fused epilogue.
#ifndef ATTND_CORE_OPS_LINEAR_H_
#define ATTND_CORE_OPS_LINEAR_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/base/work_team.h"
#include "core/ops/activation.h"
#include "core/ops/packed_weights.h"
#include "core/ops/precision.h"
#include "core/ops/ukernel.h"

namespace attnd {

// Immutable after construction; Run may be called by any number of threads with different outputs.
class Linear {
 public:
  // Rows that the last tile may read beyond `rows`: x must have room for them.
  static constexpr int kPaddingRows = 8;

  // `weight` is [outputs, inputs] row-major, as checkpoints store it; `bias` is [outputs], or empty for none.
  // x and y are f32 in every precision. `group_inputs`: of PackedWeights.
  Linear(absl::Span<const float> weight, absl::Span<const float> bias, int outputs, int inputs,
         Precision precision = Precision::kF32, int group_inputs = DefaultGroupInputs());

  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }
  int64_t bytes() const { return weights_.bytes() + static_cast<int64_t>(bias_.size() * sizeof(float)); }

  // y = activation(x W^T + b).
  void Run(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows, Activation activation,
           float* y /* [rows, outputs] */) const;
  // y = x W^T + b + residual; residual may be y.
  void RunAddResidual(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows,
                      const float* residual /* [rows, outputs] */, float* y /* [rows, outputs] */) const;
  // y = activation(gate) * up, where x W^T + b is gate and up side by side. "GLU Variants Improve Transformer",
  // Shazeer, 2020.
  void RunGated(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows, Activation activation,
                float* y /* [rows, outputs / 2] */) const;

 private:
  struct Input;
  Input Prepare(WorkTeam::Session& team, const float* x, int rows) const;
  template <typename Epilogue>
  void RunTiles(WorkTeam::Session& team, const float* x, int rows, int parts, const Epilogue& epilogue) const;
  void Multiply(const Input& input, int row, int rows, int block, int count,
                int32_t* sums /* [groups][rows, columns] */, float* product) const;
  void MultiplyBlock(const void* x, int rows, int block, int group, void* out) const;
  void MultiplyOneRow(const void* x, int block, int count, int group, int groups, void* out) const;
  void MultiplyGroups(const Input& input, int row, int rows, int block, int count, int32_t* sums, float* product) const;

  const int inputs_, outputs_;
  PackedWeights weights_;
  std::vector<float> bias_;    // [outputs]
  const bool gate_in_strips_;  // no bias, and each half fills blocks of columns
  const UkernelTable* whole_;  // whole blocks of columns
  const UkernelTable* last_;   // the last block, which may be narrower
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_LINEAR_H_
