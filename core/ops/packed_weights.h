// PackedWeights: the weights of a linear layer as its ukernel reads them.
#ifndef ATTND_CORE_OPS_PACKED_WEIGHTS_H_
#define ATTND_CORE_OPS_PACKED_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/base/aligned.h"
#include "core/ops/precision.h"
#include "core/ops/ukernel.h"

namespace attnd {

// Blocks of `block` columns (outputs), each [inputs, block] with the rows interleaved as UkernelInterleave says; rows
// and columns beyond the weights are 0. Immutable after construction.
class PackedWeights {
 public:
  // `weight` is [outputs, inputs] row-major.
  PackedWeights(absl::Span<const float> weight, int outputs, int inputs, Precision precision);

  UkernelData data() const { return data_; }
  int block() const { return block_; }  // columns of a block, as measured best for the type and CPU
  int blocks() const { return blocks_; }
  int padded_inputs() const { return padded_; }  // inputs, rounded up to the interleave
  const std::byte* Block(int b) const { return packed_.data() + b * block_bytes_; }
  const float* scales() const { return scales_.data(); }  // [outputs] of kU8S8: w ~ scale * s8
  const float* sums() const { return sums_.data(); }      // [outputs] of kU8S8: scale times the column's sum
  int64_t bytes() const;

 private:
  template <typename T, typename Convert>
  void Pack(absl::Span<const float> weight, const Convert& convert);
  void Quantize(absl::Span<const float> weight);

  const int outputs_, inputs_;
  const UkernelData data_;
  const int block_, blocks_, padded_;
  const int64_t block_bytes_;
  AlignedBuffer<std::byte> packed_;  // [blocks][block_bytes]
  std::vector<float> scales_;
  std::vector<float> sums_;
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_PACKED_WEIGHTS_H_
