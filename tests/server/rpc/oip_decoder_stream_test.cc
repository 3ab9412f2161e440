// Answers bit by bit over streams of the Open Inference Protocol.
#include <gmock/gmock.h>

#include "tests/server/rpc/oip_decoder_fixture.h"

namespace attnd::oip {
namespace {

using inference::ModelStreamInferResponse;
using ::testing::HasSubstr;

class OipDecoderStreamTest : public OipDecoderTest {};

TEST_F(OipDecoderStreamTest, StreamsGiveTheAnswerBitByBitAndInOrder) {
  grpc::ClientContext context;
  auto stream = inference_->ModelStreamInfer(&context);
  const size_t count = golden_.size();
  for (size_t i = 0; i < count; ++i) {
    ModelInferRequest request = Request(i, {"text", "token_ids", "logprobs"});
    request.set_id(std::to_string(i));
    if (i % 2 == 0) (*request.mutable_parameters())["triton_enable_empty_final_response"].set_bool_param(true);
    ASSERT_TRUE(stream->Write(request));
  }
  ModelInferRequest bad = Request(0, {"attention"});
  bad.set_id("bad");
  ASSERT_TRUE(stream->Write(bad));
  stream->WritesDone();
  for (size_t i = 0; i < count; ++i) {
    std::vector<int32_t> ids;
    std::string text;
    int responses = 0;
    for (bool last = false; !last; ++responses) {
      ModelStreamInferResponse reply;
      ASSERT_TRUE(stream->Read(&reply));
      ASSERT_EQ(reply.error_message(), "");
      const ModelInferResponse& response = reply.infer_response();
      ASSERT_EQ(response.id(), std::to_string(i));
      const Output<int32_t> part(response, "token_ids");
      EXPECT_EQ(Output<float>(response, "logprobs").values.size(), part.values.size());
      ids.insert(ids.end(), part.values.begin(), part.values.end());
      text += TextOf(response);
      last = response.parameters().count("finish_reason") > 0;
      EXPECT_EQ(response.parameters().count("triton_final_response"), i % 2 == 0 ? 1u : 0u);
      if (i % 2 == 0) {
        EXPECT_EQ(response.parameters().at("triton_final_response").bool_param(), last);
      }
    }
    golden::ExpectGreedyAnswer(golden_, i, ids);
    if (i == 0) {
      EXPECT_GT(responses, 1);
    }
    EXPECT_EQ(text, TextOf(MustInfer(Request(i))));
  }
  ModelStreamInferResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  EXPECT_THAT(reply.error_message(), HasSubstr("attention comes with a whole answer"));
  EXPECT_EQ(reply.infer_response().id(), "bad");
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(OipDecoderStreamTest, ACancelledStreamFreesItsPages) {
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    auto stream = inference_->ModelStreamInfer(&context);
    for (int k = 0; k < 3; ++k) {
      ModelInferRequest request = Request(0);
      (*request.mutable_parameters())["max_tokens"].set_int64_param(480);
      ASSERT_TRUE(stream->Write(request));
    }
    ModelStreamInferResponse reply;
    ASSERT_TRUE(stream->Read(&reply));
    context.TryCancel();
    stream->Finish();
  }
  EXPECT_TRUE(Eventually([&] { return Served().decoder->generator().Stats().pages_used == 0; }));
  golden::ExpectGreedyAnswer(golden_, 0, Output<int32_t>(MustInfer(Request(0)), "token_ids").values);
}

}  // namespace
}  // namespace attnd::oip
