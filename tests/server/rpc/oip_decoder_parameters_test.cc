// Sampling, stopping and grammars by parameters of the Open Inference Protocol, and the faults it names.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/server/rpc/oip_decoder_fixture.h"

namespace attnd::oip {
namespace {

class OipDecoderParametersTest : public OipDecoderTest {
 protected:
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
};

TEST_F(OipDecoderParametersTest, GrammarsHold) {
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

TEST_F(OipDecoderParametersTest, ParametersAreThoseOfGenerate) {
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

TEST_F(OipDecoderParametersTest, FaultsNameTheParameterOrTensor) {
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

}  // namespace
}  // namespace attnd::oip
