// PackedWeights: the weights of a linear layer as its ukernel reads them.
#ifndef ATTND_CORE_OPS_PACKED_WEIGHTS_H_
#define ATTND_CORE_OPS_PACKED_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "core/base/cpu.h"
#include "core/ops/precision.h"
#include "core/ops/quantize.h"
#include "core/ops/ukernel.h"

namespace attnd {

// Most inputs that share one range in int8: of encoders, whose bar of fidelity it holds on this CPU, and of decoders.
// docs/performance.md has the figures.
int DefaultGroupInputs();
constexpr int kDecoderGroupInputs = 192;

// What kBf16 multiplies on this CPU: kBf16, kF16 or kF32Bf16.
UkernelData HalvesData();

// Blocks of `block` columns (outputs), each [inputs, block] with the rows interleaved as UkernelInterleave says
// (kF32S8, kF16S8: as BlockWeights says; kF32Slices: as MultiplySlices); rows and columns beyond the weights are 0.
// Immutable after construction.
class PackedWeights {
 public:
  // `weight` is [outputs, inputs] row-major. `group_inputs`: the most inputs of a group in int8. `compact`: f32 weights
  // that are bf16 all, or bytes with scales, are kept as that, as are f16 ones that are such bytes. It changes no
  // weight, and makes single rows faster, for they wait for memory; many rows pay a few per cent, for they are
  // multiplied as f32 or f16. What is f32 else stays so, for slices are slower by single rows. Int8 keeps the precision
  // of pairs, for quads are as fast by single rows.
  PackedWeights(absl::Span<const float> weight, int outputs, int inputs, Precision precision,
                int group_inputs = DefaultGroupInputs(), bool compact = false);

  UkernelData data() const { return data_; }
  int block() const { return block_; }  // columns of a block, as measured best for the type and CPU
  int blocks() const { return blocks_; }
  // Inputs of a group, whose activations share a range in kU8S8, a scale in f16 and slices: a row's few large values
  // then coarsen their own group only. A multiple of the interleave; one group of all inputs in bf16 and f32.
  int group() const { return group_; }
  int groups() const { return groups_; }
  int padded_inputs() const { return groups_ * group_; }
  int64_t row_bytes() const;  // of one row of activations as the kernel reads it
  const std::byte* Block(int b, int g = 0) const {
    return packed_.get() + b * block_bytes_ + g * (block_bytes_ / groups_);
  }
  // Activations are multiplied as they are.
  bool floats() const {
    return data_ == UkernelData::kF32 || data_ == UkernelData::kF32Bf16 || data_ == UkernelData::kF32S8;
  }
  // What they are multiplied as else.
  RowFormat rows() const;
  bool f16() const { return data_ == UkernelData::kF16 || data_ == UkernelData::kF16S8; }
  bool sliced() const { return data_ == UkernelData::kF32Slices; }
  bool scaled() const { return data_ == UkernelData::kU8S8 || f16() || sliced(); }
  // [outputs] where scaled, for the inputs of group g: w ~ scale * weight. May be read to the end of a block.
  const float* scales(int g) const { return scales_.data() + int64_t{g} * outputs_; }
  // [outputs] of kU8S8 alone: that scale times the column's sum over group g.
  const float* sums(int g) const { return sums_.data() + int64_t{g} * outputs_; }
  // kU8S8: any u8 by any two neighbours of a column come to no more than 16 bits hold.
  static bool pairs() { return !CpuHasVnni(); }
  bool quads() const { return quads_; }                 // so do four, as BlockWeights has them
  int64_t block_bytes() const { return block_bytes_; }  // from Block(b) to Block(b + 1)
  int64_t bytes() const;

 private:
  template <typename T, typename Convert>
  void Pack(absl::Span<const float> weight, const Convert& convert);
  absl::Span<const float> Row(absl::Span<const float> weight, int output, int group) const;
  void Quantize(absl::Span<const float> weight);
  void PackSlices(absl::Span<const float> weight);
  template <typename Store>
  void PackRuns(absl::Span<const float> weight, const Store& store);
  void PackScaledBytes(absl::Span<const float> weight);
  // Sets scales_; returns their inverses.
  std::vector<float> ScaleF16(absl::Span<const float> weight);
  void PackF16(absl::Span<const float> weight);
  void PackF16Bytes(absl::Span<const float> weight);

  const int outputs_, inputs_;
  const UkernelData data_;
  const int block_, blocks_;
  const bool quads_;
  const int group_, groups_;
  const int64_t block_bytes_;
  std::shared_ptr<std::byte> packed_;  // [blocks][block_bytes]
  std::vector<float> scales_;          // [groups, outputs], and room for a block
  std::vector<float> sums_;            // likewise
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_PACKED_WEIGHTS_H_
