// Attend and EstimateAttention: frames, maps, sizes.
#include "tests/server/rpc/attend_fixture.h"

namespace attnd {
namespace {

class AttendTest : public AttendServerTest {};

TEST_F(AttendTest, FramesMakeTheGoldenMaps) {
  for (size_t i = 0; i < golden_.size(); ++i) {
    v1::AttendRequest request;
    request.set_text(golden_.Text(i));
    request.set_chunk_bytes(i % 2 == 0 ? 0 : 1024);
    const Attended answer = Attend(request);
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    ExpectNear(Floats(answer.data), golden_.Floats(i, "attentions"));
    EXPECT_LE(answer.largest, i % 2 == 0 ? 65536u : 1024u);
    EXPECT_EQ(answer.header.tokens_size(), static_cast<int>(golden_.Ints(i, "ids").size()));
    EXPECT_GT(answer.trailer.timings().compute_ns(), 0u);
    EXPECT_FALSE(answer.trailer.has_statistics());
  }
}

TEST_F(AttendTest, OneHead) {
  v1::AttendRequest request;
  request.set_text(golden_.Text(5));
  request.mutable_attention()->set_select("L2H4");
  const Attended answer = Attend(request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  const size_t size = 19 * 19, index = (2 * 6 + 4) * size;
  const std::vector<float> all = golden_.Floats(5, "attentions");
  ExpectNear(Floats(answer.data), {all.begin() + index, all.begin() + index + size});
  ASSERT_EQ(answer.header.attention().map_layers_size(), 1);
  EXPECT_EQ(answer.header.attention().map_layers(0), 2);
  EXPECT_EQ(answer.header.attention().map_heads(0), 4);
}

TEST_F(AttendTest, StatisticsWithoutMaps) {
  v1::AttendRequest request;
  request.set_text(golden_.Text(5));
  request.mutable_attention()->set_content(v1::ATTENTION_CONTENT_STATISTICS);
  const Attended answer = Attend(request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_TRUE(answer.data.empty());
  const std::vector<float> maps = golden_.Floats(5, "attentions");
  const v1::AttentionStatistics& statistics = answer.trailer.statistics();
  ASSERT_EQ(statistics.self_size(), 18);
  EXPECT_EQ(statistics.tokens(), 19u);
  EXPECT_EQ(statistics.received_mass_size(), 0);
  for (int head = 0; head < 18; ++head) {
    double self = 0;
    for (int t = 0; t < 19; ++t) self += maps[(head * 19 + t) * 19 + t] / 19;
    EXPECT_NEAR(statistics.self(head), self, 1e-4);
  }
}

TEST_F(AttendTest, PartsTellWhereThingsAre) {
  v1::AttendRequest request;
  request.set_text(golden_.Text(5));
  request.mutable_attention()->set_layout(v1::ATTENTION_LAYOUT_TOP_K);
  request.mutable_attention()->set_top_k(4);
  const Attended answer = Attend(request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  const v1::AttentionHeader& header = answer.header.attention();
  ASSERT_EQ(header.parts_size(), 3);  // residuals, values, indices
  EXPECT_EQ(header.parts(0).kind(), v1::AttentionPart::KIND_RESIDUALS);
  EXPECT_EQ(header.parts(1).kind(), v1::AttentionPart::KIND_VALUES);
  EXPECT_EQ(header.parts(2).kind(), v1::AttentionPart::KIND_INDICES);
  const std::vector<float> residuals = Floats(answer.data.substr(header.parts(0).offset(), header.parts(0).bytes()));
  const std::vector<float> values = Floats(answer.data.substr(header.parts(1).offset(), header.parts(1).bytes()));
  ASSERT_EQ(header.parts(2).dtype(), "u16");
  std::vector<uint16_t> indices(header.parts(2).bytes() / 2);
  std::memcpy(indices.data(), answer.data.data() + header.parts(2).offset(), header.parts(2).bytes());
  const std::vector<float> maps = golden_.Floats(5, "attentions");
  ASSERT_EQ(residuals.size(), 18u * 19);
  ASSERT_EQ(values.size(), 18u * 19 * 4);
  for (size_t row = 0; row < residuals.size(); ++row) {
    float sum = residuals[row];
    for (size_t k = 0; k < 4; ++k) {
      EXPECT_NEAR(values[row * 4 + k], maps[row * 19 + indices[row * 4 + k]], 1e-4);
      sum += values[row * 4 + k];
    }
    EXPECT_NEAR(sum, 1.0f, 1e-4);
  }
}

TEST_F(AttendTest, EstimatesAreWhatComes) {
  std::vector<v1::AttentionSpec> specs(5);
  specs[1].set_select("L1H*");
  specs[1].set_reduce(v1::ATTENTION_REDUCE_HEAD_MEAN);
  specs[2].set_dtype(v1::ATTENTION_DTYPE_U8);
  specs[2].mutable_queries()->set_begin(-5);
  specs[3].set_reduce(v1::ATTENTION_REDUCE_ROLLOUT);
  specs[3].set_content(v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS);
  specs[4].set_word_level(true);
  specs[4].set_special_tokens(v1::SPECIAL_TOKENS_RENORMALIZE);
  specs[4].set_dtype(v1::ATTENTION_DTYPE_F16);
  for (const v1::AttentionSpec& spec : specs) {
    v1::AttendRequest request;
    request.set_text(golden_.Text(2));
    *request.mutable_attention() = spec;
    const v1::EstimateAttentionResponse estimate = Estimate(request);
    const Attended answer = Attend(request);
    ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
    EXPECT_EQ(estimate.attention().SerializeAsString(), answer.header.attention().SerializeAsString());
    EXPECT_TRUE(estimate.allowed());
    EXPECT_EQ(estimate.tokens(), 65u);
  }
}

TEST_F(AttendTest, TheCapIsWhatTheEstimateSays) {
  v1::AttendRequest request;
  request.set_text(golden_.Text(0));
  const uint64_t needed = Estimate(request).memory_bytes();
  EXPECT_EQ(needed, 3u * 6 * 61 * 61 * 4);
  request.mutable_attention()->set_max_bytes(needed - 1);
  EXPECT_FALSE(Estimate(request).allowed());
  const Attended refused = Attend(request);
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(refused.status.error_message().find("the maps need 261.7 KiB"), std::string::npos)
      << refused.status.error_message();
  EXPECT_EQ(refused.headers, 0);
  request.mutable_attention()->set_max_bytes(needed);
  EXPECT_TRUE(Estimate(request).allowed());
  EXPECT_TRUE(Attend(request).status.ok());
}

TEST_F(AttendTest, EstimateFromATokenCount) {
  v1::EstimateAttentionRequest request;
  request.set_tokens(100);
  v1::EstimateAttentionResponse response;
  ASSERT_TRUE(Estimate(request, response).ok());
  EXPECT_EQ(response.attention().total_bytes(), 3u * 6 * 100 * 100 * 4);
}

}  // namespace
}  // namespace attnd
