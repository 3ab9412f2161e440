#include "core/ops/packed_weights.h"

#include <algorithm>
#include <cmath>

#include "core/base/aligned.h"
#include "core/base/weight_memory.h"
#include "core/ops/quantize.h"

namespace attnd {
namespace {

UkernelData DataOf(Precision precision) {
  switch (precision) {
    case Precision::kF32:
      break;
    case Precision::kBf16:
      return CpuHasFastBf16() ? UkernelData::kBf16 : UkernelData::kF32Bf16;
    case Precision::kInt8:
      return UkernelData::kU8S8;
  }
  return UkernelData::kF32;
}

int WeightBytes(UkernelData data) { return data == UkernelData::kF32 ? 4 : data == UkernelData::kU8S8 ? 1 : 2; }

int BlockColumns() { return GetCpuPath() == CpuPath::kAvx512 ? 48 : 16; }

constexpr float kLevels = 127;

float Largest(absl::Span<const float> row) {
  float largest = 0;
  for (const float w : row) largest = std::max(largest, std::abs(w));
  return largest;
}

// Without VNNI vpmaddubsw adds two neighbours' products u8 x s8 in 16 bits. 255 x 128 fits, so what a pair's weights of
// one sign may come to together is 127 levels (and a half each by rounding): more precise than +-63 for every weight.
float LargestPair(absl::Span<const float> row) {
  float largest = 0;
  for (size_t k = 0; k < row.size(); k += 2) {
    const float a = row[k], b = k + 1 < row.size() ? row[k + 1] : 0.0f;
    const float pair = a * b > 0 ? std::abs(a + b) : std::max(std::abs(a), std::abs(b));
    largest = std::max(largest, pair);
  }
  return largest;
}

}  // namespace

// Where a dot product has VNNI's speed 192 hold what its full range of weights allows.
int DefaultGroupInputs() { return CpuHasVnni() ? 192 : 384; }

PackedWeights::PackedWeights(absl::Span<const float> weight, int outputs, int inputs, Precision precision,
                             int group_inputs)
    : outputs_(outputs),
      inputs_(inputs),
      data_(DataOf(precision)),
      block_(BlockColumns()),
      blocks_((outputs + block_ - 1) / block_),
      groups_(data_ == UkernelData::kU8S8 ? (inputs + group_inputs - 1) / group_inputs : 1),
      group_(RoundUp((inputs + groups_ - 1) / groups_, UkernelInterleave(data_))),
      block_bytes_(int64_t{groups_} * group_ * block_ * WeightBytes(data_)),
      packed_(AllocateWeights(static_cast<size_t>(blocks_ * block_bytes_))) {
  switch (data_) {
    case UkernelData::kF32:
      Pack<float>(weight, [](float w, int, int) { return w; });
      break;
    case UkernelData::kBf16:
    case UkernelData::kF32Bf16:
      Pack<uint16_t>(weight, [](float w, int, int) { return ToBf16(w); });
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
    T* block = reinterpret_cast<T*>(packed_.get() + b * block_bytes_);
    const int columns = std::min(block_, outputs_ - b * block_);
    if (columns < block_ || padded_inputs() != inputs_) {
      std::fill(block, block + int64_t{padded_inputs()} * block_, T{0});
    }
    for (int k0 = 0, k1 = 0; k0 < inputs_; k0 = k1) {
      // 16 inputs of one group at a time: reads and writes both stay in whole cache lines.
      const int group = k0 / group_;
      k1 = std::min({inputs_, k0 + 16, (group + 1) * group_});
      for (int c = 0; c < columns; ++c) {
        const int output = b * block_ + c;
        const float* row = weight.data() + int64_t{output} * inputs_;
        for (int k = k0; k < k1; ++k) {
          block[(int64_t{k / interleave} * block_ + c) * interleave + k % interleave] = convert(row[k], output, group);
        }
      }
    }
  }
}

void PackedWeights::Quantize(absl::Span<const float> weight) {
  scales_.resize(int64_t{groups_} * outputs_);
  sums_.resize(int64_t{groups_} * outputs_);
  std::vector<float> inverses(scales_.size());
  for (int g = 0; g < groups_; ++g) {
    for (int n = 0; n < outputs_; ++n) {
      const int64_t begin = int64_t{g} * group_, at = int64_t{g} * outputs_ + n;
      const auto row = weight.subspan(int64_t{n} * inputs_ + begin, std::clamp<int64_t>(inputs_ - begin, 0, group_));
      const float largest = pairs() ? LargestPair(row) : Largest(row);
      scales_[at] = largest / kLevels;
      inverses[at] = largest > 0 ? kLevels / largest : 0;
      int32_t sum = 0;
      for (const float w : row) sum += static_cast<int32_t>(std::lrint(w * inverses[at]));
      sums_[at] = scales_[at] * static_cast<float>(sum);
    }
  }
  Pack<int8_t>(weight, [&](float w, int n, int g) {
    return static_cast<int8_t>(std::lrint(w * inverses[int64_t{g} * outputs_ + n]));
  });
}

int64_t PackedWeights::row_bytes() const {
  const bool f32 = data_ == UkernelData::kF32 || data_ == UkernelData::kF32Bf16;
  return int64_t{padded_inputs()} * (f32 ? 4 : data_ == UkernelData::kBf16 ? 2 : 1);
}

int64_t PackedWeights::bytes() const {
  return blocks_ * block_bytes_ + static_cast<int64_t>((scales_.size() + sums_.size()) * sizeof(float));
}

}  // namespace attnd
