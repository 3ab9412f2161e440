// Attend and EstimateAttention on decoders: the causal maps of a prompt.
#include "tests/golden/decoder_golden.h"
#include "tests/server/rpc/fixture.h"

namespace attnd {
namespace {

class AttendDecoderTest : public ServerTest {
 protected:
  struct Answer {
    grpc::Status status;
    v1::AttendHeader header;
    v1::AttendTrailer trailer;
    std::string data;
  };

  AttendDecoderTest() : cases_(golden::Folder("llama") + "/golden") {
    config_.models = {{.name = "llama", .folder = golden::Folder("llama")}};
  }
  void SetUp() override { Start(); }
  Answer Attend(const v1::AttendRequest& request) {
    Answer answer;
    grpc::ClientContext context;
    auto reader = stub_->Attend(&context, request);
    v1::AttendFrame frame;
    while (reader->Read(&frame)) {
      if (frame.has_header()) answer.header = frame.header();
      if (frame.has_data()) answer.data += frame.data().data();
      if (frame.has_trailer()) answer.trailer = frame.trailer();
    }
    answer.status = reader->Finish();
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    return answer;
  }
  v1::AttendRequest Request(size_t i) const {
    v1::AttendRequest request;
    request.set_text(cases_.Text(i));
    return request;
  }

  golden::Cases cases_;
};

TEST_F(AttendDecoderTest, FramesMakeTheGoldenMaps) {
  for (size_t i = 0; i < cases_.size(); ++i) {
    const Answer answer = Attend(Request(i));
    const std::vector<int32_t> ids = cases_.Ints(i, "ids");
    ASSERT_EQ(answer.header.tokens_size(), static_cast<int>(ids.size()));
    for (size_t t = 0; t < ids.size(); ++t) EXPECT_EQ(answer.header.tokens(static_cast<int>(t)).id(), ids[t]);
    ExpectNear(Floats(answer.data), cases_.Floats(i, "attentions"), 3e-4f);
    EXPECT_GT(answer.trailer.timings().compute_ns(), 0u);
  }
  EXPECT_EQ(Served().decoder->generator().Stats().pages_used, 0);
}

TEST_F(AttendDecoderTest, SingleRowsReductionsAndTopK) {
  const std::vector<float> maps = cases_.Floats(3, "attentions");
  const auto tokens = static_cast<int64_t>(cases_.Ints(3, "ids").size());
  v1::AttendRequest request = Request(3);
  request.mutable_attention()->mutable_queries()->set_begin(-1);
  request.mutable_attention()->set_select("L1H2");
  const Answer last = Attend(request);
  EXPECT_EQ(last.header.attention().rows(), 1);
  const auto row = maps.begin() + ((1 * 6 + 2) * tokens + tokens - 1) * tokens;
  ExpectNear(Floats(last.data), std::vector<float>(row, row + tokens), 3e-4f);
  request.mutable_attention()->mutable_queries()->set_begin(2);
  request.mutable_attention()->mutable_queries()->set_end(4);
  const auto middle = maps.begin() + ((1 * 6 + 2) * tokens + 2) * tokens;
  ExpectNear(Floats(Attend(request).data), std::vector<float>(middle, middle + 2 * tokens), 3e-4f);
  request = Request(3);
  request.mutable_attention()->set_reduce(v1::ATTENTION_REDUCE_ROLLOUT);
  const std::vector<float> rollout = Floats(Attend(request).data);
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
  const Answer answer = Attend(request);
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
  v1::EstimateAttentionRequest estimate;
  estimate.set_text(cases_.Text(2));
  estimate.mutable_attention()->set_select("L0");
  v1::EstimateAttentionResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->EstimateAttention(&context, estimate, &response).ok());
  v1::AttendRequest request = Request(2);
  request.mutable_attention()->set_select("L0");
  EXPECT_EQ(response.attention().total_bytes(), Attend(request).data.size());
  estimate.set_tokens(513);
  grpc::ClientContext second;
  ExpectInvalid(stub_->EstimateAttention(&second, estimate, &response), "tokens", "at most 512");
}

TEST_F(AttendDecoderTest, TextsBeyondTheContextAreRefusedOrCut) {
  std::string text;
  for (int i = 0; i < 800; ++i) text += " cat";
  v1::AttendRequest request;
  request.set_text(text);
  request.mutable_attention()->set_select("L0H0");
  grpc::ClientContext context;
  auto reader = stub_->Attend(&context, request);
  v1::AttendFrame frame;
  EXPECT_FALSE(reader->Read(&frame));
  ExpectInvalid(reader->Finish(), "text", "512");
  request.set_truncate(v1::TRUNCATION_END);
  request.mutable_attention()->mutable_queries()->set_begin(-2);
  const Answer cut = Attend(request);
  EXPECT_TRUE(cut.header.truncated());
  EXPECT_EQ(cut.header.tokens_size(), 512);
  const std::vector<float> rows = Floats(cut.data);
  ASSERT_EQ(rows.size(), 2u * 512);
  EXPECT_EQ(rows[511], 0);  // the row before the last does not see the last token
  EXPECT_GT(rows[1023], 0);
}

}  // namespace
}  // namespace attnd
