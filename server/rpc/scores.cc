#include "server/rpc/scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace attnd {

void Softmax(absl::Span<float> values) {
  if (values.empty()) return;
  const float max = *std::max_element(values.begin(), values.end());
  float sum = 0;
  for (float& value : values) {
    value = std::exp(value - max);
    sum += value;
  }
  for (float& value : values) value /= sum;
}

void Sigmoid(absl::Span<float> values) {
  for (float& value : values) value = 1 / (1 + std::exp(-value));
}

void ToScores(ProblemType problem, absl::Span<float> logits) {
  switch (problem) {
    case ProblemType::kSingleLabel:
      return Softmax(logits);
    case ProblemType::kMultiLabel:
      return Sigmoid(logits);
    case ProblemType::kRegression:
      return;
  }
}

std::vector<int> TopIndices(absl::Span<const float> values, size_t k) {
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  if (k == 0 || k > order.size()) k = order.size();
  const auto before = [values](int a, int b) {
    const float x = values[static_cast<size_t>(a)], y = values[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(), before);
  order.resize(k);
  return order;
}

}  // namespace attnd
