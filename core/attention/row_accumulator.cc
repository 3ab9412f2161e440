#include "core/attention/row_accumulator.h"

#include <algorithm>

namespace attnd {

RowAccumulator::RowAccumulator(int64_t rows, int width) : width_(width), values_(rows * width), arrived_(rows, 0) {
  if (rows > 0) locks_ = std::make_unique<std::array<std::mutex, kLocks>>();
}

float* RowAccumulator::Combine(int64_t row, const float* part, Operation operation, float weight, int parts) {
  float* const sum = this->row(row);
  const std::lock_guard lock((*locks_)[row % kLocks]);
  const bool first = arrived_[row]++ == 0;
  if (operation == Operation::kAdd) {
    if (first) {
      for (int i = 0; i < width_; ++i) sum[i] = weight * part[i];
    } else {
      for (int i = 0; i < width_; ++i) sum[i] += weight * part[i];
    }
  } else if (first) {
    std::copy_n(part, width_, sum);
  } else {
    for (int i = 0; i < width_; ++i) sum[i] = std::max(sum[i], part[i]);
  }
  return arrived_[row] == parts ? sum : nullptr;
}

}  // namespace attnd
