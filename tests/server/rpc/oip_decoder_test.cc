// Whole answers of a decoder in the Open Inference Protocol, against the reference outputs of tests/golden/llama.
#include "tests/golden/decoder_golden.h"
#include "tests/server/rpc/oip_decoder_fixture.h"

namespace attnd::oip {
namespace {

TEST_F(OipDecoderTest, WholeAnswersAreTheReferences) {
  for (size_t i = 0; i < golden_.size(); ++i) {
    ModelInferRequest request = Request(i);
    request.set_id("seven");
    const ModelInferResponse response = MustInfer(request);
    EXPECT_EQ(response.id(), "seven");
    EXPECT_EQ(response.model_version(), "1");
    ASSERT_EQ(response.outputs_size(), 2);
    const Output<int32_t> ids(response, "token_ids");
    EXPECT_EQ(ids.shape, std::vector<int64_t>{24});
    golden::ExpectGreedyAnswer(golden_, i, ids.values);
    EXPECT_EQ(response.parameters().at("finish_reason").string_param(), "length");
    EXPECT_EQ(response.parameters().at("prompt_tokens").int64_param(), 12);
    EXPECT_EQ(response.parameters().at("generated_tokens").int64_param(), 24);
    std::vector<int32_t> all = golden_.Ints(i, "greedy");
    const Tokenizer& tokenizer = Served().tokenizer();
    all.resize(12);
    const std::string before = tokenizer.Decode(all, true).value();
    all.insert(all.end(), ids.values.begin(), ids.values.end());
    EXPECT_EQ(before + TextOf(response), tokenizer.Decode(all, true).value());
  }
}

TEST_F(OipDecoderTest, TextsAreTokenisedAndTypedContentsTaken) {
  ModelInferRequest typed;
  typed.set_model_name("llama");
  auto* input = Add(typed, "input_ids", "INT64", {1, 3});
  for (const int64_t id : {5, 6, 7}) input->mutable_contents()->add_int64_contents(id);
  (*typed.mutable_parameters())["temperature"].set_int64_param(0);
  (*typed.mutable_parameters())["max_tokens"].set_int64_param(5);
  const ModelInferResponse by_ids = MustInfer(typed);
  const std::string text = Served().tokenizer().Decode(std::vector<int32_t>{5, 6, 7}, true).value();
  ModelInferRequest request = Text(text);
  *request.mutable_parameters() = typed.parameters();
  const auto encoding = Served().tokenizer().Encode(text, {});
  ASSERT_TRUE(encoding.ok());
  const ModelInferResponse by_text = MustInfer(request);
  EXPECT_EQ(by_text.parameters().at("prompt_tokens").int64_param(), encoding->tokens());
  if (encoding->ids == std::vector<int32_t>{5, 6, 7}) {
    EXPECT_EQ(TextOf(by_text), TextOf(by_ids));
  }
}

TEST_F(OipDecoderTest, LogprobsOfAnswerAndPromptAreTheReferences) {
  const ModelInferResponse response = MustInfer(Request(1, {"token_ids", "logprobs", "prompt_logprobs"}));
  EXPECT_EQ(response.outputs_size(), 3);
  const std::vector<float> expected = golden_.Floats(1, "greedy_logprobs");
  ExpectNear(Output<float>(response, "logprobs").values, {expected.begin(), expected.begin() + 24}, 5e-4f);
  const Output<float> prompt(response, "prompt_logprobs");
  ASSERT_EQ(prompt.shape, std::vector<int64_t>{11});
  const std::vector<float> logits = golden_.Floats(1, "logits");
  const std::vector<int32_t> ids = golden_.Ints(1, "greedy");
  for (int t = 0; t < 11; ++t) {
    EXPECT_NEAR(prompt.values[t], golden::LogProbability(logits.data() + t * 800, 800, ids[t + 1]), 5e-4);
  }
}

TEST_F(OipDecoderTest, MetadataConfigAndStatistics) {
  inference::ModelMetadataRequest metadata_request;
  metadata_request.set_name("llama");
  const auto metadata = Ask<inference::ModelMetadataResponse>(&Stub::ModelMetadata, metadata_request);
  EXPECT_EQ(metadata.platform(), "attnd_decoder");
  EXPECT_EQ(metadata.inputs_size(), 2);
  ASSERT_EQ(metadata.outputs_size(), 5);
  EXPECT_EQ(metadata.outputs(0).name(), "text");
  EXPECT_EQ(metadata.properties().at("task"), "generate");
  inference::ModelConfigRequest config_request;
  config_request.set_name("llama");
  const auto config = Ask<inference::ModelConfigResponse>(&Stub::ModelConfig, config_request);
  EXPECT_TRUE(config.config().model_transaction_policy().decoupled());
  EXPECT_EQ(config.config().max_batch_size(), 0);
  MustInfer(Request(0));
  inference::ModelStatisticsRequest statistics_request;
  statistics_request.set_name("llama");
  const auto statistics = Ask<inference::ModelStatisticsResponse>(&Stub::ModelStatistics, statistics_request);
  ASSERT_EQ(statistics.model_stats_size(), 1);
  EXPECT_EQ(statistics.model_stats(0).inference_stats().success().count(), 1u);
  EXPECT_GT(statistics.model_stats(0).inference_stats().compute_infer().ns(), 0u);
}

}  // namespace
}  // namespace attnd::oip
