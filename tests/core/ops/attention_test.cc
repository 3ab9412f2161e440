// Attention against its definition in double.
#include "core/ops/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <vector>

#include "core/ops/attention_tiles.h"

namespace attnd {
namespace {

struct Shape {
  int queries, keys, head_dim, value_dim;
};

struct Case {
  Shape shape;
  bool causal;
  bool masked;
  float scale;
  int window = -1;
  int bias_stride = 0;  // 0: no bias; -1: one of distances; else floats from one row to the next
  bool rounded = false;
};

class AttentionTest : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionTest, IsItsDefinition) {
  const auto [shape, causal, masked, scale, window, bias_stride, rounded] = GetParam();
  const auto [n, m, d, v] = shape;
  // Rows wider than the head, as they lie in a joined query-key-value tensor.
  const int query_stride = d + 3, key_stride = d + 5, value_stride = v + 7, output_stride = v + 2;
  std::mt19937 random(n * 31 + m);
  std::normal_distribution<float> normal;
  const auto fill = [&](int size) {
    std::vector<float> values(size);
    for (float& value : values) value = normal(random);
    return values;
  };
  const std::vector<float> query = fill(n * query_stride), key = fill(m * key_stride), value = fill(m * value_stride);
  std::vector<float> output(n * output_stride, 42.0f);
  std::vector<uint8_t> mask(n * m, 1);
  if (masked) {
    for (uint8_t& visible : mask) visible = random() % 3 != 0;
    std::fill(mask.begin(), mask.begin() + m, 0);  // the first query sees nothing
  }
  const std::vector<float> biases = fill(std::max(bias_stride, 1) * n + m);
  const float* bias = bias_stride == 0 ? nullptr : bias_stride < 0 ? biases.data() + n - 1 : biases.data();
  const AttentionHead head = {.query = query.data(),
                              .key = key.data(),
                              .value = value.data(),
                              .output = output.data(),
                              .query_stride = query_stride,
                              .key_stride = key_stride,
                              .value_stride = value_stride,
                              .output_stride = output_stride,
                              .queries = n,
                              .keys = m,
                              .head_dim = d,
                              .value_dim = v,
                              .scale = scale,
                              .causal = causal,
                              .mask = masked ? mask.data() : nullptr,
                              .mask_stride = m,
                              .bias = bias,
                              .bias_stride = bias_stride,
                              .window = window,
                              .rounded = rounded};
  // Of scores in 16 bits and outputs in 8, where the CPU has tiles for them: values are up to 4.
  const double close = rounded ? 3e-4 : 1e-5, output_close = rounded ? 2e-2 : 1e-5;
  std::vector<float> probabilities(n * m, -1.0f);
  std::vector<float> entropy(n);
  const auto keep = [&](int begin, int count, const float* p, int stride, const float* of_rows) {
    for (int r = 0; r < count; ++r) {
      std::copy(p + r * stride, p + r * stride + m, probabilities.begin() + (begin + r) * m);
      entropy[begin + r] = of_rows[r];
    }
  };
  const ProbabilityFn see = keep;
  AttentionScratch scratch;
  // Two calls, as two lanes would share the rows.
  AttendRows(head, 0, n / 3, scratch, &see);
  AttendRows(head, n / 3, n, scratch, &see);

  for (int i = 0; i < n; ++i) {
    std::vector<double> p(m, 0.0);
    double sum = 0;
    for (int j = 0; j < m; ++j) {
      if ((masked && mask[i * m + j] == 0) || (causal && j > i + m - n)) continue;
      if (window >= 0 && std::abs(i + m - n - j) > window) continue;
      double score = 0;
      for (int c = 0; c < d; ++c) score += double{query[i * query_stride + c]} * key[j * key_stride + c];
      p[j] = std::exp(score * scale + (bias == nullptr ? 0.0 : bias[i * bias_stride + j]));
      sum += p[j];
    }
    double nats = 0;
    for (int j = 0; j < m; ++j) {
      p[j] = sum == 0 ? 0 : p[j] / sum;
      nats -= p[j] > 0 ? p[j] * std::log(p[j]) : 0;
      ASSERT_NEAR(probabilities[i * m + j], p[j], close) << i << "," << j;
    }
    EXPECT_NEAR(entropy[i], nats, 10 * close);
    for (int c = 0; c < v; ++c) {
      double expected = 0;
      for (int j = 0; j < m; ++j) expected += p[j] * value[j * value_stride + c];
      ASSERT_NEAR(output[i * output_stride + c], expected, output_close) << i << "," << c;
    }
    for (int c = v; c < output_stride; ++c) EXPECT_EQ(output[i * output_stride + c], 42.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    ::testing::Values(
        Case{{1, 1, 32, 32}, false, false, 0.2f}, Case{{45, 45, 32, 32}, false, false, 0.18f},
        Case{{64, 64, 64, 64}, true, false, 0.125f}, Case{{130, 130, 32, 32}, false, true, 0.18f},
        Case{{70, 300, 24, 40}, true, true, 0.2f}, Case{{5, 17, 7, 100}, false, true, 0.3f},
        Case{{40, 1100, 16, 16}, true, false, 0.25f}, Case{{9, 5, 8, 8}, true, false, 0.3f},
        Case{{12, 20, 8, 8}, true, true, -0.3f}, Case{{12, 20, 8, 8}, false, true, 0.0f},
        // A bias with rows of its own, one of distances, and beside a mask.
        Case{{45, 45, 32, 32}, false, false, 0.18f, -1, 51}, Case{{130, 130, 16, 16}, false, false, 0.25f, -1, -1},
        Case{{70, 90, 8, 8}, true, true, -0.3f, -1, -1},
        // Windows narrower and wider than a block of queries, past both ends, and queries that see nothing.
        Case{{300, 300, 16, 16}, false, false, 0.25f, 8}, Case{{300, 300, 16, 24}, false, false, 0.25f, 70},
        Case{{1500, 1500, 8, 8}, false, false, 0.3f, 5}, Case{{50, 50, 8, 8}, false, false, 0.3f, 0},
        Case{{50, 50, 8, 8}, false, false, 0.3f, 60}, Case{{200, 260, 8, 8}, true, true, 0.3f, 33},
        Case{{150, 150, 8, 8}, false, false, 0.3f, 20, -1}, Case{{100, 20, 8, 8}, false, false, 0.3f, 3},
        // In tiles, and too few keys or other dimensions for them.
        Case{{128, 128, 32, 32}, false, false, 0.18f, -1, 0, true},
        Case{{300, 300, 64, 64}, true, false, 0.125f, -1, 0, true},
        Case{{131, 517, 96, 48}, false, true, 0.1f, -1, 0, true},
        Case{{200, 200, 32, 16}, false, false, 0.18f, 40, 0, true},
        Case{{250, 250, 32, 32}, false, true, 0.18f, -1, -1, true},
        Case{{40, 1100, 32, 32}, true, true, -0.2f, -1, 0, true},
        Case{{45, 45, 32, 32}, false, false, 0.18f, -1, 0, true},
        Case{{130, 130, 24, 24}, false, true, 0.2f, -1, 0, true}));

// So that the cases above say something: in tiles outputs differ, if by little, and scores by less.
TEST(RoundedAttentionTest, IsRoundedWhereThereAreTiles) {
  constexpr int kTokens = 160, kDim = 32;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> qkv(kTokens * 3 * kDim);
  for (float& x : qkv) x = normal(random);
  std::vector<float> outputs[2];
  for (const bool rounded : {false, true}) {
    std::vector<float>& output = outputs[rounded ? 1 : 0];
    output.resize(kTokens * kDim);
    AttentionHead head = {.query = qkv.data(), .key = qkv.data() + kDim, .value = qkv.data() + 2 * kDim};
    head.output = output.data();
    head.query_stride = head.key_stride = head.value_stride = 3 * kDim;
    head.output_stride = head.head_dim = head.value_dim = kDim;
    head.queries = head.keys = kTokens;
    head.scale = 0.18f;
    head.rounded = rounded;
    AttentionScratch scratch;
    AttendRows(head, 0, kTokens, scratch, nullptr);
  }
  EXPECT_EQ(outputs[0] != outputs[1], HasAttentionTiles(kDim, kDim));
  for (int i = 0; i < kTokens * kDim; ++i) ASSERT_NEAR(outputs[0][i], outputs[1][i], 2e-2);
}

}  // namespace
}  // namespace attnd
