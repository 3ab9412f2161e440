#include "core/attention/decoding.h"

#include <cstdint>
#include <cstring>

#include "hwy/base.h"

namespace attnd {
namespace {

template <typename T>
T Read(const uint8_t* data, int64_t index) {
  T value;
  std::memcpy(&value, data + index * static_cast<int64_t>(sizeof value), sizeof value);
  return value;
}

float DecodeValue(AttentionDtype dtype, const uint8_t* values, int64_t at, float scale) {
  switch (dtype) {
    case AttentionDtype::kF32:
      return Read<float>(values, at);
    case AttentionDtype::kF16:
      return hwy::F32FromF16(Read<hwy::float16_t>(values, at));
    case AttentionDtype::kU8: {
      const float root = static_cast<float>(values[at]) / 255.0f;
      return scale * root * root;
    }
  }
  return 0.0f;
}

}  // namespace

DecodedMaps DecodeMaps(const AttentionResult& result) {
  const AttentionPlan& plan = *result.plan;
  const AttentionDataLayout& layout = plan.layout();
  const uint8_t* const data = result.data.data();
  const bool top_k = plan.spec().layout == AttentionLayout::kTopK;
  const bool scaled = plan.spec().dtype == AttentionDtype::kU8;
  const int64_t rows = static_cast<int64_t>(plan.maps().size()) * plan.rows();

  DecodedMaps decoded;
  decoded.dense.assign(rows * plan.columns(), 0.0f);
  for (int64_t row = 0; row < rows; ++row) {
    const float scale = scaled ? Read<float>(data + layout.scales.offset, row) : 1.0f;
    if (top_k) decoded.residuals.push_back(Read<float>(data + layout.residuals.offset, row));
    for (int i = 0; i < plan.values_per_row(); ++i) {
      const int64_t at = row * plan.values_per_row() + i;
      const uint8_t* const indices = data + layout.indices.offset;
      const int64_t column = !top_k                    ? i
                             : layout.index_bytes == 2 ? Read<uint16_t>(indices, at)
                                                       : Read<uint32_t>(indices, at);
      decoded.dense[row * plan.columns() + column] =
          DecodeValue(plan.spec().dtype, data + layout.values.offset, at, scale);
    }
  }
  return decoded;
}

}  // namespace attnd
