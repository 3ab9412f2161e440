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
}

// An answer is one inference, and each of its tokens an execution.
TEST_F(OipDecoderTest, StatisticsCountAnswersAndSteps) {
  inference::ModelStatisticsRequest request;
  request.set_name("llama");
  const auto ask = [&] {
    const auto response = Ask<inference::ModelStatisticsResponse>(&Stub::ModelStatistics, request);
    EXPECT_EQ(response.model_stats_size(), 1);
    return response.model_stats(0);
  };
  const uint64_t before = ask().execution_count();
  const size_t tokens = Output<int32_t>(MustInfer(Request(0)), "token_ids").values.size();
  MustInfer(Request(1));
  ModelInferRequest bad = Request(0);
  bad.add_outputs()->set_name("nothing");
  ModelInferResponse failed;
  EXPECT_FALSE(Infer(bad, failed).ok());
  const auto statistics = ask();
  EXPECT_EQ(statistics.inference_count(), 2u);
  EXPECT_GE(statistics.execution_count() - before, 2 * tokens);
  EXPECT_GT(statistics.last_inference(), 1600000000000u);
  const auto& of_calls = statistics.inference_stats();
  EXPECT_EQ(of_calls.success().count(), 2u);
  EXPECT_EQ(of_calls.fail().count(), 1u);
  EXPECT_GT(of_calls.fail().ns(), 0u);
  uint64_t stages = 0;
  for (const auto* stage :
       {&of_calls.queue(), &of_calls.compute_input(), &of_calls.compute_infer(), &of_calls.compute_output()}) {
    EXPECT_EQ(stage->count(), 2u);
    EXPECT_GT(stage->ns(), 0u);
    stages += stage->ns();
  }
  EXPECT_LE(stages, of_calls.success().ns());
  uint64_t steps = 0, compute = 0;
  for (const auto& batch : statistics.batch_stats()) {
    EXPECT_EQ(batch.batch_size(), 1u);
    steps += batch.compute_infer().count();
    compute += batch.compute_infer().ns();
  }
  EXPECT_EQ(steps, statistics.execution_count());
  EXPECT_GT(compute, 0u);
}

}  // namespace
}  // namespace attnd::oip
