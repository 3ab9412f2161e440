// RunAttentionCall against softmax(Q K^T * scale) V computed naively in double.
#include "core/engine/attention_call.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace attnd {
namespace {

struct Tensors {
  AttentionCall call;
  std::vector<float> query, key, value, output, weights, entropy;
  std::vector<uint8_t> mask;
};

// Random tensors of the sizes in `sizes`; `mask_heads`: 0 for none, -1 for one [n, m] for all, else 1 or heads.
Tensors Make(const AttentionCall& sizes, int mask_heads, unsigned seed) {
  Tensors t;
  t.call = sizes;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto fill = [&](std::vector<float>& to, int64_t size) {
    to.resize(static_cast<size_t>(size));
    for (float& x : to) x = normal(random);
  };
  const AttentionCall& c = sizes;
  fill(t.query, c.batch * c.heads * c.queries * c.head_dim);
  fill(t.key, c.batch * c.key_heads * c.keys * c.head_dim);
  fill(t.value, c.batch * c.key_heads * c.keys * c.head_dim);
  t.output.assign(t.query.size(), NAN);
  t.weights.assign(static_cast<size_t>(c.batch * c.heads * c.queries * c.keys), NAN);
  t.entropy.assign(static_cast<size_t>(c.batch * c.heads * c.queries), NAN);
  if (mask_heads != 0) {
    const int64_t matrix = c.queries * c.keys;
    t.mask.resize(static_cast<size_t>(matrix * (mask_heads < 0 ? 1 : c.batch * mask_heads)));
    for (size_t i = 0; i < t.mask.size(); ++i) t.mask[i] = random() % 3 != 0;
    // One query sees nothing at all.
    for (size_t i = 0; i < t.mask.size(); i += static_cast<size_t>(matrix)) std::fill_n(&t.mask[i], c.keys, 0);
    t.call.mask = t.mask.data();
    t.call.mask_batch_stride = mask_heads < 0 ? 0 : mask_heads * matrix;
    t.call.mask_head_stride = mask_heads > 1 ? matrix : 0;
  }
  t.call.query = t.query.data();
  t.call.key = t.key.data();
  t.call.value = t.value.data();
  t.call.output = t.output.data();
  t.call.weights = t.weights.data();
  t.call.entropy = t.entropy.data();
  return t;
}

// The largest difference of output, weights and entropy from the definition.
double Error(const Tensors& t) {
  const AttentionCall& c = t.call;
  double error = 0;
  const auto differ = [&](double expected, float actual) {
    error = std::max(error, std::isfinite(actual) ? std::abs(expected - actual) : 1e30);
  };
  for (int64_t b = 0; b < c.batch; ++b) {
    for (int64_t h = 0; h < c.heads; ++h) {
      const int64_t kv = b * c.key_heads + h * c.key_heads / c.heads;
      for (int64_t i = 0; i < c.queries; ++i) {
        const int64_t row = (b * c.heads + h) * c.queries + i;
        std::vector<double> p(static_cast<size_t>(c.keys), 0);
        double sum = 0, largest = -INFINITY;
        std::vector<double> scores(p.size(), -INFINITY);
        for (int64_t j = 0; j < c.keys; ++j) {
          if (c.causal && j > i + c.keys - c.queries) continue;
          if (c.mask != nullptr && c.mask[b * c.mask_batch_stride + h * c.mask_head_stride + i * c.keys + j] == 0) {
            continue;
          }
          double dot = 0;
          for (int64_t d = 0; d < c.head_dim; ++d) {
            dot += double{c.query[row * c.head_dim + d]} * c.key[(kv * c.keys + j) * c.head_dim + d];
          }
          scores[static_cast<size_t>(j)] = dot * c.scale;
          largest = std::max(largest, dot * c.scale);
        }
        for (size_t j = 0; j < p.size() && std::isfinite(largest); ++j) sum += p[j] = std::exp(scores[j] - largest);
        double entropy = 0;
        for (double& x : p) {
          if (sum > 0) x /= sum;
          if (x > 0) entropy -= x * std::log(x);
        }
        for (int64_t d = 0; d < c.head_dim; ++d) {
          double out = 0;
          for (int64_t j = 0; j < c.keys; ++j) out += p[j] * c.value[(kv * c.keys + j) * c.head_dim + d];
          differ(out, t.output[row * c.head_dim + d]);
        }
        for (int64_t j = 0; j < c.keys; ++j) differ(p[j], t.weights[row * c.keys + j]);
        differ(entropy, t.entropy[row]);
      }
    }
  }
  return error;
}

bool GoOn() { return true; }

struct Case {
  AttentionCall sizes;
  int mask_heads;
};

class AttentionCallTest : public testing::TestWithParam<Case> {};

TEST_P(AttentionCallTest, MatchesTheDefinition) {
  AttentionCall sizes = GetParam().sizes;
  for (const bool causal : {false, true}) {
    for (const float scale : {1 / std::sqrt(static_cast<float>(sizes.head_dim)), 0.5f}) {
      sizes.causal = causal;
      sizes.scale = scale;
      Tensors t = Make(sizes, GetParam().mask_heads, 7);
      for (const int capacity : {1, 3}) {
        WorkTeam team(capacity);
        WorkTeam::Session session(team);
        ASSERT_TRUE(RunAttentionCall(t.call, session, GoOn).ok());
        // An entropy is a difference of numbers as large as the scores.
        EXPECT_LT(Error(t), sizes.head_dim > 256 ? 3e-5 : 1e-5)
            << "causal " << causal << " scale " << scale << " lanes " << capacity;
      }
      // The output alone is the same.
      const std::vector<float> output = t.output;
      t.call.weights = t.call.entropy = nullptr;
      WorkTeam team(2);
      WorkTeam::Session session(team);
      ASSERT_TRUE(RunAttentionCall(t.call, session, GoOn).ok());
      // Not bit for bit: where nobody looks, the output is scaled, not the probabilities.
      for (size_t i = 0; i < output.size(); ++i) ASSERT_NEAR(output[i], t.output[i], 5e-6);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, AttentionCallTest,
    testing::Values(Case{{.batch = 1, .heads = 1, .key_heads = 1, .queries = 1, .keys = 1, .head_dim = 1}, 0},
                    Case{{.batch = 2, .heads = 4, .key_heads = 4, .queries = 5, .keys = 5, .head_dim = 8}, -1},
                    Case{{.batch = 2, .heads = 4, .key_heads = 2, .queries = 70, .keys = 33, .head_dim = 3}, 1},
                    Case{{.batch = 3, .heads = 6, .key_heads = 1, .queries = 3, .keys = 130, .head_dim = 32}, 6},
                    Case{{.batch = 1, .heads = 2, .key_heads = 2, .queries = 200, .keys = 1100, .head_dim = 64}, 0},
                    Case{{.batch = 1, .heads = 1, .key_heads = 1, .queries = 130, .keys = 64, .head_dim = 17}, 1},
                    Case{{.batch = 1, .heads = 2, .key_heads = 1, .queries = 70, .keys = 70, .head_dim = 300}, 2}));

TEST(AttentionCallSizes, QueriesBeforeTheFirstVisibleKeyGiveZeros) {
  Tensors t =
      Make({.batch = 1, .heads = 1, .key_heads = 1, .queries = 4, .keys = 2, .head_dim = 4, .causal = true}, 0, 1);
  WorkTeam team(1);
  WorkTeam::Session session(team);
  ASSERT_TRUE(RunAttentionCall(t.call, session, GoOn).ok());
  for (int i = 0; i < 2 * 4; ++i) EXPECT_EQ(t.output[i], 0) << i;  // queries 0 and 1 of 4 see none of 2 keys
  for (int i = 0; i < 2 * 2; ++i) EXPECT_EQ(t.weights[i], 0) << i;
  EXPECT_EQ(t.entropy[0], 0);
  EXPECT_NE(t.output[8], 0);
}

TEST(AttentionCallSizes, StopsWhenNobodyWaits) {
  Tensors t = Make({.batch = 4, .heads = 4, .key_heads = 4, .queries = 64, .keys = 64, .head_dim = 8}, 0, 2);
  WorkTeam team(2);
  WorkTeam::Session session(team);
  EXPECT_EQ(RunAttentionCall(t.call, session, [] { return false; }).code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(std::isnan(t.output[0]));
}

TEST(AttentionCallSizes, RefusesWhatItCannotHold) {
  const AttentionCall good{.batch = 1, .heads = 4, .key_heads = 2, .queries = 3, .keys = 3, .head_dim = 8};
  EXPECT_TRUE(CheckAttentionCall(good).ok());
  const auto message = [&](auto change) {
    AttentionCall call = good;
    change(call);
    const absl::Status status = CheckAttentionCall(call);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return std::string(status.message());
  };
  EXPECT_EQ(message([](AttentionCall& c) { c.key_heads = 3; }), "4 query heads are not a multiple of the 3 key heads");
  EXPECT_EQ(message([](AttentionCall& c) { c.keys = 65537; }), "65537 keys; at most 65536");
  EXPECT_EQ(message([](AttentionCall& c) { c.head_dim = 8193; }), "vectors of 8193 numbers; at most 8192");
  EXPECT_EQ(message([](AttentionCall& c) { c.batch = 0; }), "every dimension must be at least 1");
  EXPECT_EQ(message([](AttentionCall& c) { c.scale = INFINITY; }), "the scale is not a finite number");
}

}  // namespace
}  // namespace attnd
