#include "core/ops/packed_weights.h"

#include <algorithm>
#include <cmath>

#include "core/base/cpu.h"
#include "core/ops/quantize.h"

namespace attnd {
namespace {

UkernelData DataOf(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      break;
    case Precision::kBf16:
      return CpuHasBf16() ? UkernelData::kBf16 : UkernelData::kF32Bf16;
    case Precision::kInt8:
      return UkernelData::kU8S8;
  }
  return UkernelData::kF32;
}

int WeightBytes(UkernelData data) { return data == UkernelData::kF32 ? 4 : data == UkernelData::kU8S8 ? 1 : 2; }

// Most inputs that share one range of activations: docs/performance.md has the fidelity and speed of 384, 192 and 128.
constexpr int kGroupInputs = 192;

int RoundUp(int n, int to) { return (n + to - 1) / to * to; }

int BlockColumns() { return GetCpuPath() == CpuPath::kAvx512 ? 48 : 16; }

}  // namespace

PackedWeights::PackedWeights(absl::Span<const float> weight, int outputs, int inputs, Precision precision)
    : outputs_(outputs),
      inputs_(inputs),
      data_(DataOf(precision)),
      block_(BlockColumns()),
      blocks_((outputs + block_ - 1) / block_),
      groups_(data_ == UkernelData::kU8S8 ? (inputs + kGroupInputs - 1) / kGroupInputs : 1),
      group_(RoundUp((inputs + groups_ - 1) / groups_, UkernelInterleave(data_))),
      block_bytes_(int64_t{groups_} * group_ * block_ * WeightBytes(data_)),
      packed_(blocks_ * block_bytes_) {
  switch (data_) {
    case UkernelData::kF32:
      Pack<float>(weight, [](float w, int) { return w; });
      break;
    case UkernelData::kBf16:
    case UkernelData::kF32Bf16:
      Pack<uint16_t>(weight, [](float w, int) { return ToBf16(w); });
      break;
    case UkernelData::kU8S8:
      Quantize(weight);
      break;
  }
}

template <typename T, typename Convert>
void PackedWeights::Pack(absl::Span<const float> weight, const Convert& convert) {
  const int interleave = UkernelInterleave(data_);
  for (int b = 0; b < blocks_; ++b) {
    T* block = reinterpret_cast<T*>(packed_.data() + b * block_bytes_);
    const int columns = std::min(block_, outputs_ - b * block_);
    if (columns < block_ || padded_inputs() != inputs_) {
      std::fill(block, block + int64_t{padded_inputs()} * block_, T{0});
    }
    // 16 inputs at a time: reads and writes both stay in whole cache lines.
    for (int k0 = 0; k0 < inputs_; k0 += 16) {
      const int k1 = std::min(inputs_, k0 + 16);
      for (int c = 0; c < columns; ++c) {
        const int output = b * block_ + c;
        const float* row = weight.data() + int64_t{output} * inputs_;
        for (int k = k0; k < k1; ++k) {
          block[(int64_t{k / interleave} * block_ + c) * interleave + k % interleave] = convert(row[k], output);
        }
      }
    }
  }
}

void PackedWeights::Quantize(absl::Span<const float> weight) {
  // vpmaddubsw adds two products u8 x s8 in 16 bits: 2 x 255 x 63 fits.
  const float levels = CpuHasVnni() ? 127 : 63;
  scales_.resize(outputs_);
  sums_.resize(int64_t{groups_} * outputs_);
  std::vector<float> inverses(outputs_);
  for (int n = 0; n < outputs_; ++n) {
    const float* row = weight.data() + int64_t{n} * inputs_;
    float largest = 0;
    for (int k = 0; k < inputs_; ++k) largest = std::max(largest, std::abs(row[k]));
    scales_[n] = largest / levels;
    inverses[n] = largest > 0 ? levels / largest : 0;
    for (int g = 0; g < groups_; ++g) {
      int32_t sum = 0;
      const int end = std::min(inputs_, (g + 1) * group_);
      for (int k = g * group_; k < end; ++k) sum += static_cast<int32_t>(std::lrint(row[k] * inverses[n]));
      sums_[int64_t{g} * outputs_ + n] = scales_[n] * static_cast<float>(sum);
    }
  }
  Pack<int8_t>(weight, [&](float w, int n) { return static_cast<int8_t>(std::lrint(w * inverses[n])); });
}

int64_t PackedWeights::row_bytes() const {
  const bool f32 = data_ == UkernelData::kF32 || data_ == UkernelData::kF32Bf16;
  return int64_t{padded_inputs()} * (f32 ? 4 : data_ == UkernelData::kBf16 ? 2 : 1);
}

int64_t PackedWeights::bytes() const {
  return static_cast<int64_t>(packed_.size() + (scales_.size() + sums_.size()) * sizeof(float));
}

}  // namespace attnd
