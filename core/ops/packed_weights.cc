#include "core/ops/packed_weights.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/base/aligned.h"
#include "core/base/weight_memory.h"
#include "core/ops/block_kernel.h"
#include "core/ops/quantize.h"
#include "core/ops/slice_kernel.h"
#include "core/ops/tile_kernel.h"
#include "hwy/base.h"

namespace attnd {
namespace {

int BlockColumns() { return GetCpuPath() == CpuPath::kAvx512 ? 48 : 16; }

// What is found is found again when it is packed: kept until then it would take memory.
bool AreScaledBytes(absl::Span<const float> weight) {
  int8_t levels[kScaledInputs];
  float scale;
  for (size_t i = 0; i < weight.size(); i += kScaledInputs) {
    if (!FindScaledBytes(weight.data() + i, levels, &scale)) return false;
  }
  return true;
}

// Inputs of a group of kF16S8: whole runs of kScaledInputs, and all groups alike. 0: there is no such.
int F16BytesGroup(int inputs) {
  if (inputs % kScaledInputs != 0) return 0;
  int group = kF16GroupInputs;
  while (inputs % group != 0) group -= kScaledInputs;
  return group;
}
static_assert(kF16GroupInputs % kScaledInputs == 0);

// Whether f16 weights are bytes by scales that are f16, and normal, by what their group is scaled with: then the
// product is what the weight is rounded to.
bool AreF16Bytes(absl::Span<const float> weight, int inputs) {
  const int group = F16BytesGroup(inputs);
  if (group == 0) return false;
  int8_t levels[kScaledInputs];
  float scale;
  for (size_t i = 0; i < weight.size(); i += group) {
    const float by = F16ScaleOf(LargestMagnitude(weight.data() + i, group), kF16WeightBits).inverse;
    for (int k = 0; k < group; k += kScaledInputs) {
      if (!FindScaledBytes(weight.data() + i + k, levels, &scale)) return false;
      const float scaled = scale * by;
      const bool normal = scaled == 0 || std::abs(scaled) >= 0x1p-14f;
      if (!normal || (std::bit_cast<uint32_t>(scaled) & 0x1fff) != 0) return false;
    }
  }
  return true;
}

bool AreBf16(absl::Span<const float> weight) {
  return std::all_of(weight.begin(), weight.end(), [](float w) { return (std::bit_cast<uint32_t>(w) & 0xffff) == 0; });
}

UkernelData DataOf(Precision precision, absl::Span<const float> weight, int inputs, bool compact) {
  switch (precision) {
    case Precision::kF32:
      if (!compact) return HasTileKernel(UkernelData::kF32Slices) ? UkernelData::kF32Slices : UkernelData::kF32;
      if (HasBlockKernel(UkernelData::kF32S8, BlockColumns(), inputs) && AreScaledBytes(weight)) {
        return UkernelData::kF32S8;
      }
      if (AreBf16(weight) && UkernelBackend(UkernelData::kF32Bf16) == "brgemm") return UkernelData::kF32Bf16;
      break;
    case Precision::kBf16:
      if (compact && HasF16Kernel() && AreF16Bytes(weight, inputs)) return UkernelData::kF16S8;
      return HalvesData();
    case Precision::kInt8:
      return UkernelData::kU8S8;
  }
  return UkernelData::kF32;
}

int64_t BlockBytes(UkernelData data, int64_t inputs, int columns) {
  switch (data) {
    case UkernelData::kF32:
      return inputs * columns * 4;
    case UkernelData::kF32S8:
    case UkernelData::kF16S8:  // with half the bytes, but each twice
      return inputs * columns + inputs / kScaledInputs * columns * int64_t{sizeof(float)};
    case UkernelData::kU8S8:
      return inputs * columns;
    case UkernelData::kF32Slices:
      return inputs * columns * kSlices;
    case UkernelData::kBf16:
    case UkernelData::kF32Bf16:
    case UkernelData::kF16:
      break;
  }
  return inputs * columns * 2;
}

// What the inputs of a group are a multiple of.
int GroupSteps(UkernelData data, bool quads) {
  if (quads) return kQuadKernelSteps;
  if (HasTileKernel(data)) return kTileBytes / (data == UkernelData::kBf16 ? 2 : 1);
  return UkernelInterleave(data) * (data == UkernelData::kF16 ? kBlockKernelSteps : 1);
}
// Inputs of a group: groups are as few as may be, and alike.
int GroupOf(UkernelData data, bool quads, int inputs, int group_inputs) {
  if (data == UkernelData::kF16S8) return F16BytesGroup(inputs);
  const int most = data == UkernelData::kF16         ? kF16GroupInputs
                   : data == UkernelData::kU8S8      ? group_inputs
                   : data == UkernelData::kF32Slices ? kSliceGroupInputs
                                                     : inputs;
  const int groups = (inputs + most - 1) / most;
  return RoundUp((inputs + groups - 1) / groups, GroupSteps(data, quads));
}

constexpr float kLevels = 127;
constexpr int kPackedInputs = 16;  // at once

float Largest(absl::Span<const float> row) { return LargestMagnitude(row.data(), static_cast<int>(row.size())); }

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

// Likewise of four, 0, 1, 4 and 5 and 2, 3, 6 and 7 of eight (BlockWeights::quads), whose roundings are two levels.
float LargestQuad(absl::Span<const float> row) {
  constexpr size_t kInputs = 8;
  float largest = 0;
  for (size_t k = 0; k < row.size(); k += kInputs) {
    float above[2] = {}, below[2] = {};
    for (size_t i = k; i < std::min(k + kInputs, row.size()); ++i) {
      float* const sums = row[i] > 0 ? above : below;  // indexed as it stands, g++ 14 adds to a copy under UBSan
      sums[i / 2 % 2] += std::abs(row[i]);
    }
    largest = std::max({largest, above[0], above[1], below[0], below[1]});
  }
  return largest * (kLevels / (kLevels - 1));
}

}  // namespace

UkernelData HalvesData() {
  return CpuHasFastBf16() ? UkernelData::kBf16 : HasF16Kernel() ? UkernelData::kF16 : UkernelData::kF32Bf16;
}

// 192 hold what VNNI's full range of weights allows, and give back what quads cost. Pairs are scaled apart from the
// products, so that fewer groups are faster.
int DefaultGroupInputs() { return GetCpuPath() == CpuPath::kAvx512 && !CpuHasVnni() ? 384 : 192; }

PackedWeights::PackedWeights(absl::Span<const float> weight, int outputs, int inputs, Precision precision,
                             int group_inputs, bool compact)
    : outputs_(outputs),
      inputs_(inputs),
      data_(DataOf(precision, weight, inputs, compact)),
      block_(BlockColumns()),
      blocks_((outputs + block_ - 1) / block_),
      quads_(data_ == UkernelData::kU8S8 && !compact && HasQuadKernel()),
      group_(GroupOf(data_, quads_, inputs, group_inputs)),
      groups_((inputs + group_ - 1) / group_),
      block_bytes_(BlockBytes(data_, int64_t{groups_} * group_, block_)),
      packed_(AllocateWeights(static_cast<size_t>(blocks_ * block_bytes_))) {
  switch (data_) {
    case UkernelData::kF32:
      Pack<float>(weight, [](const float* w, int count, int, int, float* to) { std::copy_n(w, count, to); });
      break;
    case UkernelData::kBf16:
    case UkernelData::kF32Bf16:
      Pack<uint16_t>(
          weight, [](const float* w, int count, int, int, uint16_t* to) { std::transform(w, w + count, to, ToBf16); });
      break;
    case UkernelData::kU8S8:
      Quantize(weight);
      break;
    case UkernelData::kF16:
      PackF16(weight);
      break;
    case UkernelData::kF16S8:
      PackF16Bytes(weight);
      break;
    case UkernelData::kF32S8:
      PackScaledBytes(weight);
      break;
    case UkernelData::kF32Slices:
      PackSlices(weight);
      break;
  }
}

// convert(w, count, n, g, to) makes some inputs w of output n, in group g, what is packed.
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
      // Some inputs of one group at a time: reads and writes both stay in whole cache lines.
      const int group = k0 / group_;
      k1 = std::min({inputs_, k0 + kPackedInputs, (group + 1) * group_});
      for (int c = 0; c < columns; ++c) {
        const int output = b * block_ + c;
        const float* row = weight.data() + int64_t{output} * inputs_;
        T values[kPackedInputs];
        convert(row + k0, k1 - k0, output, group, values);
        for (int k = k0; k < k1; ++k) {
          block[(int64_t{k / interleave} * block_ + c) * interleave + k % interleave] = values[k - k0];
        }
      }
    }
  }
}

// Of one output, the inputs of a group.
absl::Span<const float> PackedWeights::Row(absl::Span<const float> weight, int output, int group) const {
  const int64_t begin = int64_t{group} * group_;
  return weight.subspan(int64_t{output} * inputs_ + begin, std::clamp<int64_t>(inputs_ - begin, 0, group_));
}

std::vector<float> PackedWeights::ScaleF16(absl::Span<const float> weight) {
  scales_.resize(int64_t{groups_} * outputs_ + block_);
  std::vector<float> inverses(int64_t{groups_} * outputs_);
  for (int g = 0; g < groups_; ++g) {
    for (int n = 0; n < outputs_; ++n) {
      const int64_t at = int64_t{g} * outputs_ + n;
      const F16Scale by = F16ScaleOf(Largest(Row(weight, n, g)), kF16WeightBits);
      scales_[at] = by.scale;
      inverses[at] = by.inverse;
    }
  }
  return inverses;
}

void PackedWeights::PackF16(absl::Span<const float> weight) {
  const std::vector<float> inverses = ScaleF16(weight);
  Pack<uint16_t>(weight, [&](const float* w, int count, int n, int g, uint16_t* to) {
    ScaleToF16(w, count, inverses[int64_t{g} * outputs_ + n], to);
  });
}

// store(part, n, k, levels, scale) puts kScaledInputs inputs of output n, from k on, where its block has its part of
// them.
template <typename Store>
void PackedWeights::PackRuns(absl::Span<const float> weight, const Store& store) {
  std::fill_n(packed_.get(), blocks_ * block_bytes_, std::byte{0});
  const int64_t part = BlockBytes(data_, kScaledInputs, block_);
  for (int n = 0; n < outputs_; ++n) {
    std::byte* to = packed_.get() + n / block_ * block_bytes_;
    for (int k = 0; k < inputs_; k += kScaledInputs, to += part) {
      int8_t levels[kScaledInputs];
      float scale;
      FindScaledBytes(weight.data() + int64_t{n} * inputs_ + k, levels, &scale);
      store(to, n, k, levels, scale);
    }
  }
}

void PackedWeights::PackScaledBytes(absl::Span<const float> weight) {
  PackRuns(weight, [&](std::byte* to, int n, int, const int8_t* levels, float scale) {
    const int column = n % block_;
    reinterpret_cast<float*>(to)[column] = scale;
    auto* rows = reinterpret_cast<int8_t*>(to + block_ * sizeof(float)) + column;
    for (int i = 0; i < kScaledInputs; ++i) rows[i * block_] = levels[i];
  });
}

void PackedWeights::PackF16Bytes(absl::Span<const float> weight) {
  const std::vector<float> inverses = ScaleF16(weight);
  PackRuns(weight, [&](std::byte* to, int n, int k, const int8_t* levels, float scale) {
    const int column = n % block_;
    auto* scales = reinterpret_cast<uint16_t*>(to) + 2 * column;
    ScaleToF16(&scale, 1, inverses[int64_t{k / group_} * outputs_ + n], scales);
    scales[1] = scales[0];
    auto* pairs = reinterpret_cast<int8_t*>(to + block_ * 2 * sizeof(uint16_t)) + 2 * column;
    for (int i = 0; i < kScaledInputs; ++i) pairs[i / 2 * 2 * block_ + i % 2] = levels[i];
  });
}

void PackedWeights::Quantize(absl::Span<const float> weight) {
  scales_.resize(int64_t{groups_} * outputs_ + block_);
  sums_.resize(int64_t{groups_} * outputs_ + block_);
  std::vector<float> inverses(int64_t{groups_} * outputs_);
  std::vector<int8_t> levels(group_);
  for (int g = 0; g < groups_; ++g) {
    for (int n = 0; n < outputs_; ++n) {
      const int64_t at = int64_t{g} * outputs_ + n;
      const auto row = Row(weight, n, g);
      const float largest = quads_ ? LargestQuad(row) : pairs() ? LargestPair(row) : Largest(row);
      scales_[at] = largest / kLevels;
      inverses[at] = largest > 0 ? kLevels / largest : 0;
      ScaleToS8(row.data(), static_cast<int>(row.size()), inverses[at], levels.data());
      const int32_t sum = std::accumulate(levels.begin(), levels.begin() + row.size(), int32_t{0});
      sums_[at] = scales_[at] * static_cast<float>(sum);
    }
  }
  Pack<int8_t>(weight, [&](const float* w, int count, int n, int g, int8_t* to) {
    ScaleToS8(w, count, inverses[int64_t{g} * outputs_ + n], to);
  });
}

void PackedWeights::PackSlices(absl::Span<const float> weight) {
  scales_.resize(int64_t{groups_} * outputs_ + block_);
  if (outputs_ < blocks_ * block_)
    std::fill_n(packed_.get() + (blocks_ - 1) * block_bytes_, block_bytes_, std::byte{0});
  HWY_ASSERT(block_ == kBlockTiles * kTileColumns);
  constexpr int kQuad = 4;  // inputs of a column side by side
  const int steps = group_ / kTileBytes;
  std::vector<int8_t> row(int64_t{group_} * kSlices);  // [steps][slice][kTileBytes]
  for (int n = 0; n < outputs_; ++n) {
    const int tile = n % block_ / kTileColumns, column = n % kTileColumns;
    for (int g = 0; g < groups_; ++g) {
      const auto inputs = Row(weight, n, g);
      SliceRow(inputs.data(), static_cast<int>(inputs.size()), group_, /*height=*/1, row.data(),
               &scales_[int64_t{g} * outputs_ + n]);
      std::byte* to = packed_.get() + n / block_ * block_bytes_ + g * (block_bytes_ / groups_) +
                      tile * steps * kSliceStepBytes + column * kQuad;
      for (size_t i = 0; i < row.size(); i += kQuad) std::memcpy(to + i * kTileColumns, &row[i], kQuad);
    }
  }
}

RowFormat PackedWeights::rows() const {
  if (sliced()) return RowFormat::kSlices;
  return f16() ? RowFormat::kF16 : scaled() ? RowFormat::kU8 : RowFormat::kBf16;
}

int64_t PackedWeights::row_bytes() const {
  const int bytes = floats() ? 4 : sliced() ? kSlices : data_ == UkernelData::kU8S8 ? 1 : 2;
  return int64_t{padded_inputs()} * bytes;
}

int64_t PackedWeights::bytes() const {
  return blocks_ * block_bytes_ + static_cast<int64_t>((scales_.size() + sums_.size()) * sizeof(float));
}

}  // namespace attnd
