// WordTable: one vector a word of the vocabulary, in f32 or, where the layers are in less, in bf16.
#ifndef ATTND_CORE_MODEL_WORD_TABLE_H_
#define ATTND_CORE_MODEL_WORD_TABLE_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/ops/precision.h"
#include "core/ops/quantize.h"

namespace attnd {

// Immutable after construction.
class WordTable {
 public:
  WordTable() = default;
  // `words` is [vocab, width].
  WordTable(std::vector<float> words, int width, Precision precision) : width_(width) {
    if (precision == Precision::kF32) {
      f32_ = std::move(words);
      return;
    }
    bf16_.resize(words.size());
    if (!words.empty()) {
      ConvertRowsToBf16(words.data(), static_cast<int>(words.size() / width), width, width, bf16_.data());
    }
  }

  int width() const { return width_; }
  void Copy(int32_t word, float* to /* [width] */) const {
    const int64_t begin = int64_t{word} * width_;
    if (bf16_.empty()) {
      std::copy_n(f32_.data() + begin, width_, to);
    } else {
      std::transform(bf16_.data() + begin, bf16_.data() + begin + width_, to, FromBf16);
    }
  }
  int64_t bytes() const { return static_cast<int64_t>(f32_.size() * sizeof(float) + bf16_.size() * sizeof(uint16_t)); }

 private:
  int width_ = 0;
  std::vector<float> f32_;      // [vocab, width], or empty
  std::vector<uint16_t> bf16_;  // [vocab, width], or empty
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_WORD_TABLE_H_
