// RowAccumulator: rows that are sums, or maxima, of parts which arrive from several threads.
#ifndef ATTND_CORE_ATTENTION_ROW_ACCUMULATOR_H_
#define ATTND_CORE_ATTENTION_ROW_ACCUMULATOR_H_

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/aligned.h"

namespace attnd {

// Any thread may add to any row at any time; additions to a row exclude each other by one of a few locks, held for one
// row.
class RowAccumulator {
 public:
  enum class Operation { kAdd, kMax };

  RowAccumulator() = default;  // no rows
  RowAccumulator(int64_t rows, int width);

  // row = row + weight * part, or max(row, part); the first part of a row sets it. Returns the row, [width], to the
  // caller whose part was the last of `parts`, null to the others: from then on it is that caller's to change.
  float* Combine(int64_t row, const float* part, Operation operation, float weight, int parts);

  float* row(int64_t i) { return values_.data() + i * width_; }
  // Bytes of `rows` rows of `width`.
  static int64_t Bytes(int64_t rows, int64_t width) { return rows * (width * sizeof(float) + sizeof(int32_t)); }

 private:
  static constexpr int kLocks = 32;

  int width_ = 0;
  AlignedBuffer<float> values_;   // [rows, width]
  std::vector<int32_t> arrived_;  // [rows]
  std::unique_ptr<std::array<std::mutex, kLocks>> locks_;
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_ROW_ACCUMULATOR_H_
