// Linear: y = x W^T + b over weights packed once, as tiles of one ukernel with a fused epilogue.
#ifndef ATTND_CORE_OPS_LINEAR_H_
#define ATTND_CORE_OPS_LINEAR_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/base/aligned.h"
#include "core/base/work_team.h"
#include "core/ops/activation.h"
#include "core/ops/packed_weights.h"
#include "core/ops/precision.h"
#include "core/ops/ukernel.h"

namespace attnd {

struct GroupScales;

// Rows that one layer leaves for the next: in f32, or already as the next multiplies them. Grows to the largest
// step seen; written and read within one step.
class LinearRows {
 public:
  // As f32 where they are that, else null. [rows, width]
  const float* floats() const { return quantized_ ? nullptr : floats_.data(); }
  // Room for `size` other values until a layer writes its rows: what is wide at another time may lie in the same
  // memory, which is then still in cache.
  float* Borrow(int64_t size) {
    quantized_ = false;
    floats_.Reserve(size);
    return floats_.data();
  }

 private:
  friend class Linear;
  AlignedBuffer<float> floats_;    // [rows, width]
  AlignedBuffer<uint8_t> levels_;  // [rows, padded inputs of the next layer] of u8, f16, bf16 or slices
  AlignedBuffer<float> scales_;    // [groups, rows]
  AlignedBuffer<float> offsets_;   // [groups, rows]
  bool quantized_ = false;
};

// Immutable after construction; Run may be called by any number of threads with different outputs.
class Linear {
 public:
  // Rows that the last tile may read beyond `rows`: x must have room for them.
  static constexpr int kPaddingRows = 8;

  // `weight` is [outputs, inputs] row-major, as checkpoints store it; `bias` is [outputs], or empty for none.
  // x and y are f32 in every precision. `group_inputs` and `compact`: of PackedWeights.
  Linear(absl::Span<const float> weight, absl::Span<const float> bias, int outputs, int inputs,
         Precision precision = Precision::kF32, int group_inputs = DefaultGroupInputs(), bool compact = false);

  int inputs() const { return inputs_; }
  int outputs() const { return outputs_; }
  // Whether it rounds what it multiplies weights by: to bf16, f16 or u8.
  bool rounds() const { return !weights_.floats() && !weights_.sliced(); }
  int64_t bytes() const { return weights_.bytes() + static_cast<int64_t>(bias_.size() * sizeof(float)); }

  // y = activation(x W^T + b).
  void Run(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows, Activation activation,
           float* y /* [rows, outputs] */) const;
  // The same for `next` to take: where it is in int8, f16, bf16 or slices, strips become that while they are hot. The
  // values are those of the other way round.
  void Run(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows, Activation activation,
           const Linear& next, LinearRows& y) const;
  void Run(WorkTeam::Session& team, const LinearRows& x, int rows, Activation activation,
           float* y /* [rows, outputs] */) const;
  // y = x W^T + b + residual; residual may be y.
  void RunAddResidual(WorkTeam::Session& team, const LinearRows& x, int rows,
                      const float* residual /* [rows, outputs] */, float* y /* [rows, outputs] */) const;
  void RunAddResidual(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows,
                      const float* residual /* [rows, outputs] */, float* y /* [rows, outputs] */) const;
  // y = activation(gate) * up, where x W^T + b is gate and up side by side. "GLU Variants Improve Transformer",
  // Shazeer, 2020.
  void RunGated(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows, Activation activation,
                float* y /* [rows, outputs / 2] */) const;
  void RunGated(WorkTeam::Session& team, const float* x /* [rows, inputs] */, int rows, Activation activation,
                const Linear& next, LinearRows& y) const;

 private:
  struct Input;
  struct Strip;
  struct MultiplyScratch;
  void Reserve(int rows, LinearRows& x) const;
  int64_t RowOffset(int rows, int row, int group) const;
  Input Prepare(WorkTeam::Session& team, const float* x, int rows) const;
  Input Prepare(WorkTeam::Session& team, const LinearRows& x, int rows) const;
  template <typename Epilogue>
  void RunTiles(WorkTeam::Session& team, const Input& input, int parts, int strip_blocks,
                const Epilogue& epilogue) const;
  int StripBlocks(const WorkTeam::Session& team, int rows, int parts) const;
  void Activate(WorkTeam::Session& team, const Input& input, Activation activation, float* y) const;
  void AddResidual(WorkTeam::Session& team, const Input& input, const float* residual, float* y) const;
  template <typename Epilogue>
  bool RunQuantized(WorkTeam::Session& team, const float* x, int rows, int parts, const Linear& next, LinearRows& y,
                    const Epilogue& epilogue) const;
  void Multiply(const Input& input, int row, int rows, int block, int count, bool first, MultiplyScratch& scratch,
                float* product, int64_t stride) const;
  void MultiplyWhole(const Input& input, int row, int rows, int block, bool first, MultiplyScratch& scratch,
                     float* product, int64_t stride) const;
  GroupScales ScalesOf(const Input& input, int row, int block, int first_group, int groups) const;
  void MultiplyBlock(const void* x, int rows, int block, int group, void* out) const;
  void MultiplyOneRow(const void* x, int block, int count, int group, int groups, void* out) const;
  void MultiplyF16Row(const Input& input, int row, int block, int count, float* product) const;
  void MultiplyGroups(const Input& input, int row, int rows, int block, int count, int32_t* sums, float* product,
                      int64_t stride) const;

  const int inputs_, outputs_;
  PackedWeights weights_;
  std::vector<float> bias_;              // [outputs]
  const bool gate_in_strips_;            // no bias, and each half fills blocks of columns
  const bool tile_kernel_;               // for more than one row, of slices for one, too
  const bool block_kernel_;              // likewise, else, of whole blocks unless no ukernel has the type
  const bool whole_panels_;              // are multiplied by one call, which widens the weights once for all rows
  const UkernelTable* whole_ = nullptr;  // whole blocks of columns; null where no ukernel has the type
  const UkernelTable* last_ = nullptr;   // the last block, which may be narrower
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_LINEAR_H_
