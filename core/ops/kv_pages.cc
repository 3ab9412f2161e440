#include "core/ops/kv_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <new>

#include "core/ops/quantize.h"

namespace attnd {
namespace {

int ElementBytes(KvType type) { return type == KvType::kF32 ? 4 : type == KvType::kBf16 ? 2 : 1; }

struct Quantiser {
  explicit Quantiser(const float* row, int columns) {
    float largest = 0;
    for (int c = 0; c < columns; ++c) largest = std::max(largest, std::abs(row[c]));
    scale = largest / 127.0f;
    inverse = largest > 0 ? 127.0f / largest : 0.0f;
  }
  int8_t operator()(float value) const { return static_cast<int8_t>(std::lrintf(value * inverse)); }
  float scale, inverse;
};

}  // namespace

int64_t KvPages::BlockBytes(const KvShape& shape) {
  const int64_t elements = int64_t{2} * kTokens * shape.head_dim;
  const int64_t scales = shape.type == KvType::kInt8 ? int64_t{2} * kTokens * int64_t{sizeof(float)} : 0;
  return (elements * ElementBytes(shape.type) + scales + 63) / 64 * 64;
}

int64_t KvPages::BytesPerPage(const KvShape& shape) {
  return int64_t{shape.layers} * shape.key_heads * BlockBytes(shape);
}

KvPages::KvPages(const KvShape& shape, int pages)
    : shape_(shape), pages_(pages), block_bytes_(BlockBytes(shape)), bytes_(BytesPerPage(shape) * pages) {
  if (bytes_ == 0) return;
  void* data = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(data);
}

KvPages::~KvPages() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

void KvPages::Write(int layer, int key_head, const int32_t* table, int first, int rows, const float* key,
                    const float* value, int64_t stride) {
  const int dim = shape_.head_dim;
  for (int r = 0; r < rows; ++r, key += stride, value += stride) {
    const int position = first + r;
    const int slot = position % kTokens;
    std::byte* block = const_cast<std::byte*>(Block(layer, table[position / kTokens], key_head));
    switch (shape_.type) {
      case KvType::kF32: {
        auto* keys = reinterpret_cast<float*>(block);
        for (int d = 0; d < dim; ++d) keys[d * kTokens + slot] = key[d];
        std::copy(value, value + dim, keys + (kTokens + slot) * dim);
        break;
      }
      case KvType::kBf16: {
        auto* keys = reinterpret_cast<uint16_t*>(block);
        uint16_t* values = keys + kTokens * dim + slot * dim;
        for (int d = 0; d < dim; ++d) keys[d * kTokens + slot] = ToBf16(key[d]);
        for (int d = 0; d < dim; ++d) values[d] = ToBf16(value[d]);
        break;
      }
      case KvType::kInt8: {
        auto* keys = reinterpret_cast<int8_t*>(block);
        int8_t* values = keys + kTokens * dim + slot * dim;
        auto* scales = reinterpret_cast<float*>(block + 2 * kTokens * dim);
        const Quantiser of_key(key, dim), of_value(value, dim);
        for (int d = 0; d < dim; ++d) keys[d * kTokens + slot] = of_key(key[d]);
        for (int d = 0; d < dim; ++d) values[d] = of_value(value[d]);
        scales[slot] = of_key.scale;
        scales[kTokens + slot] = of_value.scale;
        break;
      }
    }
  }
}

const float* KvPages::ReadF32(int layer, int page, int key_head, float* scratch) const {
  const int dim = shape_.head_dim;
  const int count = kTokens * dim;
  const std::byte* block = Block(layer, page, key_head);
  if (shape_.type == KvType::kF32) return reinterpret_cast<const float*>(block);
  if (shape_.type == KvType::kBf16) {
    const auto* from = reinterpret_cast<const uint16_t*>(block);
    for (int i = 0; i < 2 * count; ++i) scratch[i] = FromBf16(from[i]);
    return scratch;
  }
  const auto* from = reinterpret_cast<const int8_t*>(block);
  const auto* scales = reinterpret_cast<const float*>(block + 2 * count);
  for (int d = 0; d < dim; ++d) {
    for (int t = 0; t < kTokens; ++t) scratch[d * kTokens + t] = static_cast<float>(from[d * kTokens + t]) * scales[t];
  }
  for (int t = 0; t < kTokens; ++t) {
    const float scale = scales[kTokens + t];
    for (int d = 0; d < dim; ++d) {
      scratch[count + t * dim + d] = static_cast<float>(from[count + t * dim + d]) * scale;
    }
  }
  return scratch;
}

}  // namespace attnd
