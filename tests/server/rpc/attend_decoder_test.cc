// Attend and EstimateAttention on decoders: the causal maps of a prompt.
#include "tests/server/rpc/attend_fixture.h"

namespace attnd {
namespace {

class AttendDecoderTest : public AttendServerTest {
 protected:
  AttendDecoderTest() : AttendServerTest("llama") {}
  v1::AttendRequest Request(size_t i) const {
    v1::AttendRequest request;
    request.set_text(golden_.Text(i));
    return request;
  }
};

TEST_F(AttendDecoderTest, FramesMakeTheGoldenMaps) {
  for (size_t i = 0; i < golden_.size(); ++i) {
    const Attended answer = MustAttend(Request(i));
    const std::vector<int32_t> ids = golden_.Ints(i, "ids");
    ASSERT_EQ(answer.header.tokens_size(), static_cast<int>(ids.size()));
    for (size_t t = 0; t < ids.size(); ++t) EXPECT_EQ(answer.header.tokens(static_cast<int>(t)).id(), ids[t]);
    ExpectNear(Floats(answer.data), golden_.Floats(i, "attentions"), 3e-4f);
    EXPECT_GT(answer.trailer.timings().compute_ns(), 0u);
  }
  EXPECT_TRUE(Eventually([&] { return Served().decoder->generator().Stats().pages_used == 0; }));
}

TEST_F(AttendDecoderTest, SingleRowsReductionsAndTopK) {
  const std::vector<float> maps = golden_.Floats(3, "attentions");
  const auto tokens = static_cast<int64_t>(golden_.Ints(3, "ids").size());
  v1::AttendRequest request = Request(3);
  request.mutable_attention()->mutable_queries()->set_begin(-1);
  request.mutable_attention()->set_select("L1H2");
  const Attended last = MustAttend(request);
  EXPECT_EQ(last.header.attention().rows(), 1);
  const auto row = maps.begin() + ((1 * 6 + 2) * tokens + tokens - 1) * tokens;
  ExpectNear(Floats(last.data), std::vector<float>(row, row + tokens), 3e-4f);
  request.mutable_attention()->mutable_queries()->set_begin(2);
  request.mutable_attention()->mutable_queries()->set_end(4);
  const auto middle = maps.begin() + ((1 * 6 + 2) * tokens + 2) * tokens;
  ExpectNear(Floats(MustAttend(request).data), std::vector<float>(middle, middle + 2 * tokens), 3e-4f);
  request = Request(3);
  request.mutable_attention()->set_reduce(v1::ATTENTION_REDUCE_ROLLOUT);
  const std::vector<float> rollout = Floats(MustAttend(request).data);
  for (int64_t i = 0; i < tokens; ++i) {
    float sum = 0;
    for (int64_t j = 0; j < tokens; ++j) sum += rollout[i * tokens + j];
    EXPECT_NEAR(sum, 1, 1e-4);
    EXPECT_EQ(i + 1 < tokens ? rollout[i * tokens + i + 1] : 0, 0);
  }
}

TEST_F(AttendDecoderTest, InductionAndDuplicateAreThoseOfTheFormulas) {
  // Case with repeated tokens: its ids twice would be best, but texts are what Attend takes.
  v1::AttendRequest request;
  request.set_text("one two one two one two three one two");
  request.mutable_attention()->set_content(v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS);
  request.mutable_attention()->add_statistics(v1::ATTENTION_STATISTIC_INDUCTION);
  request.mutable_attention()->add_statistics(v1::ATTENTION_STATISTIC_DUPLICATE);
  const Attended answer = MustAttend(request);
  const std::vector<float> maps = Floats(answer.data);
  const int n = answer.header.tokens_size();
  const v1::AttentionStatistics& statistics = answer.trailer.statistics();
  ASSERT_EQ(statistics.induction_size(), 18);
  EXPECT_EQ(statistics.entropy_size(), 0);
  double largest = 0;
  for (int h = 0; h < 18; ++h) {
    double induction = 0, duplicate = 0;
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j <= i; ++j) {
        const double p = maps[(h * n + i) * n + j];
        const int32_t id = answer.header.tokens(i).id();
        if (j > 0 && answer.header.tokens(j - 1).id() == id) induction += p;
        if (j < i && answer.header.tokens(j).id() == id) duplicate += p;
      }
    }
    EXPECT_NEAR(statistics.induction(h), induction / n, 1e-5);
    EXPECT_NEAR(statistics.duplicate(h), duplicate / n, 1e-5);
    largest = std::max(largest, duplicate / n);
  }
  EXPECT_GT(largest, 0);
}

TEST_F(AttendDecoderTest, EstimatesAreWhatComes) {
  v1::AttendRequest request = Request(2);
  request.mutable_attention()->set_select("L0");
  EXPECT_EQ(Estimate(request).attention().total_bytes(), MustAttend(request).data.size());
  v1::EstimateAttentionRequest estimate;
  estimate.mutable_attention()->set_select("L0");
  estimate.set_tokens(513);
  v1::EstimateAttentionResponse response;
  ExpectInvalid(Estimate(estimate, response), "tokens", "at most 512");
}

TEST_F(AttendDecoderTest, TextsBeyondTheContextAreRefusedOrCut) {
  v1::AttendRequest request;
  request.set_text(Repeated(" cat", 800));
  request.mutable_attention()->set_select("L0H0");
  const Attended refused = Attend(request);
  EXPECT_EQ(refused.headers, 0);
  ExpectInvalid(refused.status, "text", "512");
  request.set_truncate(v1::TRUNCATION_END);
  request.mutable_attention()->mutable_queries()->set_begin(-2);
  const Attended cut = MustAttend(request);
  EXPECT_TRUE(cut.header.truncated());
  EXPECT_EQ(cut.header.tokens_size(), 512);
  const std::vector<float> rows = Floats(cut.data);
  ASSERT_EQ(rows.size(), 2u * 512);
  EXPECT_EQ(rows[511], 0);  // the row before the last does not see the last token
  EXPECT_GT(rows[1023], 0);
}

}  // namespace
}  // namespace attnd
