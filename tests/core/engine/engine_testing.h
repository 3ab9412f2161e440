// What the engine's tests share.
#ifndef ATTND_TESTS_CORE_ENGINE_ENGINE_TESTING_H_
#define ATTND_TESTS_CORE_ENGINE_ENGINE_TESTING_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/engine/engine.h"

namespace attnd {

inline constexpr auto kAlways = [] { return true; };

// Keeps every map of one sequence.
class Keep : public AttentionSink {
 public:
  Keep(int layers, int heads, int tokens)
      : heads_(heads), tokens_(tokens), maps(size_t{1} * layers * heads * tokens * tokens, -1.0f) {}
  bool Wants(int, int) const override { return true; }
  void Tile(const AttentionTile& tile) override {
    for (int q = 0; q < tile.query_count; ++q) {
      const float* row = tile.probabilities + q * tile.stride;
      float* to =
          maps.data() + ((size_t{1} * tile.layer * heads_ + tile.head) * tokens_ + tile.query_begin + q) * tokens_;
      std::copy(row, row + tile.key_count, to);
    }
  }

 private:
  const int heads_, tokens_;

 public:
  std::vector<float> maps;  // [layers, heads, tokens, tokens]
};

inline float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

inline double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

inline std::unique_ptr<Model> LoadModel(const std::string& folder) {
  auto model = Model::Load(folder);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

}  // namespace attnd

#endif  // ATTND_TESTS_CORE_ENGINE_ENGINE_TESTING_H_
