// The attention of prompt and answer as an output of the Open Inference Protocol.
#include <gmock/gmock.h>

#include "tests/server/rpc/oip_decoder_fixture.h"

namespace attnd::oip {
namespace {

using ::testing::HasSubstr;

class OipDecoderAttentionTest : public OipDecoderTest {};

TEST_F(OipDecoderAttentionTest, AttentionIsOfPromptAndAnswerButTheLastToken) {
  const std::vector<int32_t> ids = golden_.Ints(0, "ids");
  const std::vector<float> maps = golden_.Floats(0, "attentions");  // [layers, heads, tokens, tokens]
  const ModelShape shape = Served().shape();
  const auto tokens = static_cast<int64_t>(ids.size());
  // The whole text as a prompt.
  ModelInferRequest request;
  request.set_model_name("llama");
  AddRaw(request, "input_ids", "INT32", {1, tokens}, Bytes(ids));
  request.add_outputs()->set_name("attention");
  (*request.mutable_parameters())["max_tokens"].set_int64_param(0);
  const Output<float> whole(MustInfer(request), "attention");
  EXPECT_EQ(whole.shape, (std::vector<int64_t>{shape.layers, shape.heads, tokens, tokens}));
  ExpectNear(whole.values, maps, 3e-4f);
  // Some heads of it, and the end of an answer: the rows that gave its tokens are the same as of the whole as a prompt.
  (*request.mutable_parameters())["max_tokens"].set_int64_param(60);
  (*request.mutable_parameters())["stop_ids"].set_string_param("[]");
  (*request.mutable_parameters())["temperature"].set_double_param(0);
  (*request.mutable_parameters())["layers"].set_int64_param(-1);
  (*request.mutable_parameters())["heads"].set_string_param("1,3");
  request.add_outputs()->set_name("token_ids");
  const ModelInferResponse answered = MustInfer(request);
  const std::vector<int32_t> answer = Output<int32_t>(answered, "token_ids").values;
  const Output<float> grown(answered, "attention");
  std::vector<int32_t> all = ids;
  all.insert(all.end(), answer.begin(), answer.end() - 1);
  const auto length = static_cast<int64_t>(all.size());
  EXPECT_EQ(grown.shape, (std::vector<int64_t>{1, 2, length, length}));
  request.mutable_inputs(0)->set_shape(1, length);
  *request.mutable_raw_input_contents(0) = Bytes(all);
  (*request.mutable_parameters())["max_tokens"].set_int64_param(0);
  ExpectNear(grown.values, Output<float>(MustInfer(request), "attention").values, 1e-4f);
}

TEST_F(OipDecoderAttentionTest, AttentionBeyondTheLimitIsRefusedBeforeAnyWork) {
  ModelInferRequest request = Request(0, {"attention"});
  server_->Shutdown();
  config_.limits.max_attention_bytes = 50000;
  Begin();
  ModelInferResponse response;
  const grpc::Status status = Infer(request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("attention of up to 35 tokens needs 88200 bytes, the limit is 50000"));
  (*request.mutable_parameters())["layers"].set_int64_param(0);
  EXPECT_EQ(Output<float>(MustInfer(request), "attention").shape[0], 1);
}

}  // namespace
}  // namespace attnd::oip
