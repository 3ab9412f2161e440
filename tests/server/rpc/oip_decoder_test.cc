// A decoder in the Open Inference Protocol, against the reference outputs of tests/golden/llama.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/golden/decoder_golden.h"
#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {
namespace {

using inference::ModelStreamInferResponse;
using ::testing::HasSubstr;

class OipDecoderTest : public OipTest {
 protected:
  OipDecoderTest() : decoder_golden_(golden::Folder("llama") + "/golden") {
    config_.models = {{.name = "llama", .folder = golden::Folder("llama")}};
  }

  // The prompt of golden case i, to be continued as the reference was.
  ModelInferRequest Request(size_t i, const std::vector<std::string>& outputs = {}) const {
    const std::vector<int32_t> ids = decoder_golden_.Ints(i, "greedy");
    ModelInferRequest request;
    request.set_model_name("llama");
    AddRaw(request, "input_ids", "INT32", {1, 12}, Bytes(std::vector<int32_t>(ids.begin(), ids.begin() + 12)));
    for (const std::string& output : outputs) request.add_outputs()->set_name(output);
    auto& parameters = *request.mutable_parameters();
    parameters["temperature"].set_double_param(0);
    parameters["max_tokens"].set_int64_param(24);
    parameters["ignore_eos"].set_bool_param(true);
    return request;
  }
  static ModelInferRequest Text(const std::string& text) {
    ModelInferRequest request = Texts({text});
    request.set_model_name("llama");
    return request;
  }
  void ExpectReference(size_t i, const std::vector<int32_t>& ids) const {
    const std::vector<int32_t> expected = decoder_golden_.Ints(i, "greedy");
    const std::vector<float> margins = decoder_golden_.Floats(i, "greedy_margin");
    ASSERT_EQ(ids.size(), 24u);
    for (size_t t = 0; t < ids.size(); ++t) {
      if (ids[t] == expected[12 + t]) continue;
      EXPECT_LT(margins[t], 0.01f) << "case " << i << " token " << t;
      return;
    }
  }
  static std::string TextOf(const ModelInferResponse& response) {
    const Output<char> text(response, "text");
    EXPECT_EQ(text.shape, std::vector<int64_t>{1});
    return {text.values.begin() + 4, text.values.end()};
  }
  void ExpectRefusedParameter(const std::string& name, const inference::InferParameter& value,
                              const std::string& words) {
    ModelInferRequest request = Request(0);
    (*request.mutable_parameters())[name] = value;
    ExpectRefused(request, "parameters." + name, words);
  }
  static inference::InferParameter Number(double value) {
    inference::InferParameter parameter;
    parameter.set_double_param(value);
    return parameter;
  }
  static inference::InferParameter Integer(int64_t value) {
    inference::InferParameter parameter;
    parameter.set_int64_param(value);
    return parameter;
  }
  static inference::InferParameter String(const std::string& value) {
    inference::InferParameter parameter;
    parameter.set_string_param(value);
    return parameter;
  }

  golden::Cases decoder_golden_;
};

TEST_F(OipDecoderTest, WholeAnswersAreTheReferences) {
  for (size_t i = 0; i < decoder_golden_.size(); ++i) {
    ModelInferRequest request = Request(i);
    request.set_id("seven");
    const ModelInferResponse response = MustInfer(request);
    EXPECT_EQ(response.id(), "seven");
    EXPECT_EQ(response.model_version(), "1");
    ASSERT_EQ(response.outputs_size(), 2);
    const Output<int32_t> ids(response, "token_ids");
    EXPECT_EQ(ids.shape, std::vector<int64_t>{24});
    ExpectReference(i, ids.values);
    EXPECT_EQ(response.parameters().at("finish_reason").string_param(), "length");
    EXPECT_EQ(response.parameters().at("prompt_tokens").int64_param(), 12);
    EXPECT_EQ(response.parameters().at("generated_tokens").int64_param(), 24);
    std::vector<int32_t> all = decoder_golden_.Ints(i, "greedy");
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
  const std::vector<float> expected = decoder_golden_.Floats(1, "greedy_logprobs");
  ExpectNear(Output<float>(response, "logprobs").values, {expected.begin(), expected.begin() + 24}, 5e-4f);
  const Output<float> prompt(response, "prompt_logprobs");
  ASSERT_EQ(prompt.shape, std::vector<int64_t>{11});
  const std::vector<float> logits = decoder_golden_.Floats(1, "logits");
  const std::vector<int32_t> ids = decoder_golden_.Ints(1, "greedy");
  for (int t = 0; t < 11; ++t) {
    EXPECT_NEAR(prompt.values[t], golden::LogProbability(logits.data() + t * 800, 800, ids[t + 1]), 5e-4);
  }
}

TEST_F(OipDecoderTest, AttentionIsOfPromptAndAnswerButTheLastToken) {
  const std::vector<int32_t> ids = decoder_golden_.Ints(0, "ids");
  const std::vector<float> maps = decoder_golden_.Floats(0, "attentions");  // [layers, heads, tokens, tokens]
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

TEST_F(OipDecoderTest, AttentionBeyondTheLimitIsRefusedBeforeAnyWork) {
  ModelInferRequest request = Request(0, {"attention"});
  server_->Shutdown();
  config_.limits.max_attention_bytes = 50000;
  Start();
  inference_ = inference::GRPCInferenceService::NewStub(channel_);
  ModelInferResponse response;
  const grpc::Status status = Infer(request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("attention of up to 35 tokens needs 88200 bytes, the limit is 50000"));
  (*request.mutable_parameters())["layers"].set_int64_param(0);
  EXPECT_EQ(Output<float>(MustInfer(request), "attention").shape[0], 1);
}

TEST_F(OipDecoderTest, GrammarsHold) {
  ModelInferRequest request = Request(2);
  (*request.mutable_parameters())["temperature"].set_double_param(5);
  (*request.mutable_parameters())["max_tokens"].set_int64_param(100);
  (*request.mutable_parameters())["regex"].set_string_param("[0-9]{3}-(one|two)");
  const ModelInferResponse response = MustInfer(request);
  EXPECT_THAT(TextOf(response), ::testing::MatchesRegex("[0-9]+-(one|two)"));
  EXPECT_EQ(response.parameters().at("finish_reason").string_param(), "stop");
  request.mutable_parameters()->erase("regex");
  (*request.mutable_parameters())["json_schema"].set_string_param(
      R"({"type": "object", "properties": {"n": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["n"],
          "additionalProperties": false})");
  const auto json = nlohmann::json::parse(TextOf(MustInfer(request)), nullptr, false);
  EXPECT_TRUE(json.is_object() && json.at("n").is_number_integer()) << json;
  ExpectRefusedParameter("regex", String("(a"), "invalid regex");
  ExpectRefusedParameter("json_schema", String("{"), "not JSON");
}

TEST_F(OipDecoderTest, ParametersAreThoseOfGenerate) {
  ModelInferRequest request = Request(0);
  auto& parameters = *request.mutable_parameters();
  parameters["temperature"].set_double_param(1);
  parameters["seed"].set_int64_param(3);
  parameters["top_k"].set_int64_param(40);
  parameters["top_p"].set_double_param(0.9);
  parameters["min_p"].set_double_param(0.01);
  parameters["typical_p"].set_double_param(0.95);
  parameters["repetition_penalty"].set_double_param(1.1);
  parameters["presence_penalty"].set_double_param(0.1);
  parameters["frequency_penalty"].set_double_param(0.1);
  parameters["n"].set_int64_param(1);
  const std::string text = TextOf(MustInfer(request));
  EXPECT_EQ(TextOf(MustInfer(request)), text);
  parameters["seed"].set_int64_param(4);
  EXPECT_NE(TextOf(MustInfer(request)), text);
  parameters["seed"].set_int64_param(3);
  // A stop string, alone and in a list: some letters out of the middle.
  size_t begin = 4;
  const auto plain = [&](size_t at) { return at < text.size() && text[at] > 31 && text[at] < 127; };
  while (begin < text.size() && !(plain(begin) && plain(begin + 1) && plain(begin + 2))) ++begin;
  ASSERT_LT(begin, text.size());
  const std::string stop = text.substr(begin, 3);
  for (const std::string& value : {stop, nlohmann::json::array({"never this", stop}).dump()}) {
    parameters["stop"].set_string_param(value);
    const ModelInferResponse response = MustInfer(request);
    EXPECT_EQ(TextOf(response), text.substr(0, text.find(stop)));
    EXPECT_EQ(response.parameters().at("finish_reason").string_param(), "stop");
  }
}

TEST_F(OipDecoderTest, FaultsNameTheParameterOrTensor) {
  ExpectRefusedParameter("temperature", Number(-1), "-1");
  ExpectRefusedParameter("temperature", String("hot"), "double_param");
  ExpectRefusedParameter("top_p", Number(0), "0");
  ExpectRefusedParameter("max_tokens", Integer(-5), "-5, must be 0 to");
  ExpectRefusedParameter("min_tokens", Integer(25), "25");
  ExpectRefusedParameter("seed", Integer(-1), "-1");
  ExpectRefusedParameter("n", Integer(2), "2, must be 1");
  ExpectRefusedParameter("stop_ids", String("[1.5]"), "integers");
  ExpectRefusedParameter("stop_ids", Integer(800), "800");
  ExpectRefusedParameter("stop", String(R"(["a", 3])"), "strings");
  ExpectRefusedParameter("layers", Integer(3), "3");
  ExpectRefusedParameter("temprature", Number(1), "unknown; the model takes max_tokens");
  ModelInferRequest request = Request(0);
  AddRaw(request, "text", "BYTES", {1}, Framed({"x"}));
  ExpectRefused(request, "inputs", "not both");
  request = Text("a");
  request.mutable_inputs(0)->set_shape(0, 2);
  *request.mutable_raw_input_contents(0) = Framed({"a", "b"});
  ExpectRefused(request, "inputs[0].shape", "[1] or [1, 1]");
  request = Request(0);
  request.mutable_inputs(0)->set_shape(1, 600);
  *request.mutable_raw_input_contents(0) = Bytes(std::vector<int32_t>(600, 5));
  ExpectRefused(request, "input_ids", "the model's context is 512");
  ExpectRefused(Request(0, {"embedding"}), "outputs[0].name", "");
}

TEST_F(OipDecoderTest, MetadataConfigAndStatistics) {
  grpc::ClientContext contexts[3];
  inference::ModelMetadataRequest metadata_request;
  metadata_request.set_name("llama");
  inference::ModelMetadataResponse metadata;
  ASSERT_TRUE(inference_->ModelMetadata(&contexts[0], metadata_request, &metadata).ok());
  EXPECT_EQ(metadata.platform(), "attnd_decoder");
  EXPECT_EQ(metadata.inputs_size(), 2);
  ASSERT_EQ(metadata.outputs_size(), 5);
  EXPECT_EQ(metadata.outputs(0).name(), "text");
  EXPECT_EQ(metadata.properties().at("task"), "generate");
  inference::ModelConfigRequest config_request;
  config_request.set_name("llama");
  inference::ModelConfigResponse config;
  ASSERT_TRUE(inference_->ModelConfig(&contexts[1], config_request, &config).ok());
  EXPECT_TRUE(config.config().model_transaction_policy().decoupled());
  EXPECT_EQ(config.config().max_batch_size(), 0);
  MustInfer(Request(0));
  inference::ModelStatisticsRequest statistics_request;
  statistics_request.set_name("llama");
  inference::ModelStatisticsResponse statistics;
  ASSERT_TRUE(inference_->ModelStatistics(&contexts[2], statistics_request, &statistics).ok());
  EXPECT_EQ(statistics.model_stats(0).inference_stats().success().count(), 1u);
  EXPECT_GT(statistics.model_stats(0).inference_stats().compute_infer().ns(), 0u);
}

TEST_F(OipDecoderTest, StreamsGiveTheAnswerBitByBitAndInOrder) {
  grpc::ClientContext context;
  auto stream = inference_->ModelStreamInfer(&context);
  const size_t count = decoder_golden_.size();
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
    ExpectReference(i, ids);
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

TEST_F(OipDecoderTest, ACancelledStreamFreesItsPages) {
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
  ExpectReference(0, Output<int32_t>(MustInfer(Request(0)), "token_ids").values);
}

}  // namespace
}  // namespace attnd::oip
