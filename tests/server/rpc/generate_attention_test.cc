// The attention behind each token: every layout and dtype against the dense rows, these against the whole map.
#include <gmock/gmock.h>

#include <cmath>

#include "tests/server/rpc/generation_fixture.h"

namespace attnd {
namespace {

constexpr int kHeads = 18;  // of 3 layers

class GenerateAttentionTest : public GenerationServerTest {
 protected:
  Generated With(const std::function<void(v1::GenerationAttention&)>& change) {
    v1::GenerateRequest request = Request();
    change(*request.mutable_attention());
    Generated result = Generate(request);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    return result;
  }
  static float Half(const std::string& bytes, size_t i) {
    _Float16 half;
    std::memcpy(&half, bytes.data() + 2 * i, 2);
    return static_cast<float>(half);
  }
};

TEST_F(GenerateAttentionTest, RowsAreThoseOfTheGoldenMap) {
  Start();
  // The reference holds the maps of the golden text: its tokens as a prompt, of which the last one's row is sent.
  const std::vector<int32_t> ids = golden_.Ints(0, "ids");
  const size_t n = ids.size();
  const std::vector<float> maps = golden_.Floats(0, "attentions");
  ASSERT_EQ(maps.size(), kHeads * n * n);
  v1::GenerateRequest request;
  request.mutable_input_ids()->mutable_ids()->Add(ids.begin(), ids.end());
  request.mutable_options()->set_max_tokens(2);
  request.mutable_options()->set_min_tokens(2);
  request.mutable_attention();
  const Generated result = Generate(request);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  const v1::TokenAttention& first = result.deltas.at(0)[0].attention();
  EXPECT_EQ(first.query(), n - 1);
  EXPECT_EQ(first.columns(), n);
  const std::vector<float> rows = Floats(first.values());
  ASSERT_EQ(rows.size(), kHeads * n);
  for (size_t h = 0; h < kHeads; ++h) {
    for (size_t k = 0; k < n; ++k) ASSERT_NEAR(rows[h * n + k], maps[(h * n + n - 1) * n + k], 3e-4) << h << " " << k;
  }
  const v1::TokenAttention& second = result.deltas.at(0)[1].attention();
  EXPECT_EQ(second.query(), n);
  EXPECT_EQ(Floats(second.values()).size(), kHeads * (n + 1));
  ASSERT_EQ(result.start.attention_layers_size(), kHeads);
  EXPECT_EQ(result.start.attention_layers(17), 2);
  EXPECT_EQ(result.start.attention_heads(17), 5);
}

TEST_F(GenerateAttentionTest, LayoutsTypesAndMeansAgreeWithTheRows) {
  Start();
  const Generated dense = With([](auto& a) { a.set_content(v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS); });
  const Generated half = With([](auto& a) { a.set_dtype(v1::ATTENTION_DTYPE_F16); });
  const Generated top = With([](auto& a) {
    a.set_layout(v1::ATTENTION_LAYOUT_TOP_K);
    a.set_top_k(15);
    a.set_select("L1H2 L2");
  });
  const Generated mean = With([](auto& a) {
    a.set_reduce(v1::ATTENTION_REDUCE_HEAD_MEAN);
    a.set_content(v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS);
  });
  const Generated statistics = With([](auto& a) { a.set_content(v1::ATTENTION_CONTENT_STATISTICS); });
  EXPECT_EQ(mean.start.attention_layers(0), -1);
  ASSERT_EQ(top.start.attention_heads_size(), 7);
  const std::vector<int32_t> answer = dense.Ids();
  for (size_t t = 0; t < answer.size(); ++t) {
    SCOPED_TRACE(t);
    const v1::TokenAttention& a = dense.deltas.at(0)[t].attention();
    const size_t columns = 12 + t;
    ASSERT_EQ(a.columns(), columns);
    const std::vector<float> rows = Floats(a.values());
    ASSERT_EQ(rows.size(), kHeads * columns);
    const std::string& halves = half.deltas.at(0)[t].attention().values();
    ASSERT_EQ(halves.size(), 2 * rows.size());
    std::vector<float> of_mean(columns, 0.0f);
    for (size_t h = 0; h < kHeads; ++h) {
      double sum = 0, entropy = 0, prompt = 0, copied = 0;
      for (size_t k = 0; k < columns; ++k) {
        const float p = rows[h * columns + k];
        EXPECT_NEAR(Half(halves, h * columns + k), p, 1e-3 * p + 1e-6);
        of_mean[k] += p / kHeads;
        sum += p;
        if (p > 0) entropy -= p * std::log(p);
        if (k < 12) prompt += p;
        const int32_t id = k < 12 ? golden_.Ints(0, "greedy")[k] : answer[k - 12];
        if (id == answer[t]) copied += p;
      }
      EXPECT_NEAR(sum, 1, 1e-5);
      EXPECT_NEAR(a.entropy(static_cast<int>(h)), entropy, 1e-4);
      EXPECT_NEAR(a.sink_mass(static_cast<int>(h)), rows[h * columns], 5e-6);
      EXPECT_NEAR(a.copy_mass(static_cast<int>(h)), copied, 1e-5);
      const double m_p = prompt / 12, m_a = t == 0 ? 0 : (sum - prompt) / static_cast<double>(t);
      EXPECT_NEAR(a.lookback_ratio(static_cast<int>(h)), t == 0 ? 1 : m_p / (m_p + m_a), 1e-4);
    }
    ExpectNear(Floats(mean.deltas.at(0)[t].attention().values()), of_mean, 1e-5f);
    EXPECT_EQ(mean.deltas.at(0)[t].attention().entropy_size(), 1);
    EXPECT_TRUE(statistics.deltas.at(0)[t].attention().values().empty());
    EXPECT_EQ(statistics.deltas.at(0)[t].attention().entropy_size(), kHeads);

    const v1::TokenAttention& few = top.deltas.at(0)[t].attention();
    const std::vector<float> values = Floats(few.values());
    const size_t k_of = std::min<size_t>(15, columns);
    ASSERT_EQ(values.size(), 7 * k_of);
    ASSERT_EQ(few.indices().size(), 4 * values.size());
    for (size_t h = 0; h < 7; ++h) {
      const size_t head = h == 0 ? 8 : 11 + h;  // L1H2, then L2H0 to L2H5
      float kept = 0;
      for (size_t k = 0; k < k_of; ++k) {
        uint32_t column = 0;
        std::memcpy(&column, few.indices().data() + 4 * (h * k_of + k), 4);
        ASSERT_LT(column, columns);
        // Other layers were looked at there, whose outputs are scaled elsewhere.
        EXPECT_NEAR(values[h * k_of + k], rows[head * columns + column], 5e-6);
        if (k > 0) {
          EXPECT_LE(values[h * k_of + k], values[h * k_of + k - 1]);
        }
        kept += values[h * k_of + k];
      }
      EXPECT_NEAR(few.residual(static_cast<int>(h)), 1 - kept, 1e-5);
    }
  }
  EXPECT_TRUE(Idle());
}

TEST_F(GenerateAttentionTest, ManyAnswersWithOtherCallsBesideHaveTheirOwn) {
  config_.generation.kv_cache_bytes = 12 * KvPages::BytesPerPage({3, 3, 16, KvType::kF32});  // some are computed again
  Start();
  v1::GenerateRequest request = Request();
  request.mutable_options()->set_temperature(1);
  request.mutable_options()->set_seed(3);
  request.mutable_options()->set_n(6);
  request.mutable_attention()->set_select("L1H2");
  const Generated together = Generate(request);
  ASSERT_TRUE(together.status.ok()) << together.status.error_message();
  EXPECT_GT(Stats().preemptions, 0);
  request.mutable_options()->set_n(1);
  for (uint32_t i = 0; i < 6; ++i) {
    request.mutable_options()->set_seed(3 + i);
    const Generated alone = Generate(request);
    ASSERT_EQ(alone.Ids(), together.Ids(i));
    for (size_t t = 0; t < 24; ++t) {
      const v1::TokenAttention& a = alone.deltas.at(0)[t].attention();
      const v1::TokenAttention& b = together.deltas.at(i)[t].attention();
      EXPECT_EQ(a.query(), b.query());
      ExpectNear(Floats(b.values()), Floats(a.values()), 1e-5f);
    }
  }
}

TEST_F(GenerateAttentionTest, WhatCannotBeIsRefused) {
  config_.limits.max_attention_bytes = 20000;
  Start();
  const auto attention = [&](auto change, const std::string& field, const std::string& words) {
    ExpectRefused([&](v1::GenerateRequest& r) { change(*r.mutable_attention()); }, "attention." + field, words);
  };
  attention([](auto& a) { a.set_select("L3"); }, "select", "");
  attention([](auto& a) { a.set_reduce(v1::ATTENTION_REDUCE_ROLLOUT); }, "reduce", "HEAD_MEAN");
  attention([](auto& a) { a.set_dtype(v1::ATTENTION_DTYPE_U8); }, "dtype", "F16");
  attention([](auto& a) { a.set_layout(v1::ATTENTION_LAYOUT_TOP_K); }, "top_k", "at least 1");
  attention([](auto& a) { a.set_content(static_cast<v1::AttentionContent>(9)); }, "content", "unknown");
  v1::GenerateRequest request = Request();
  request.mutable_attention();
  const Generated result = Generate(request);  // 18 heads x 4 bytes x (12 + ... + 35) columns
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(result.status.error_message(), testing::HasSubstr("need 40608 bytes, the limit is 20000"));
  request.mutable_attention()->set_layout(v1::ATTENTION_LAYOUT_TOP_K);
  request.mutable_attention()->set_top_k(2);
  EXPECT_TRUE(Generate(request).status.ok());
  EXPECT_TRUE(Eventually([&] { return server_->context().attention_memory.used_bytes() == 0; }));
}

}  // namespace
}  // namespace attnd
