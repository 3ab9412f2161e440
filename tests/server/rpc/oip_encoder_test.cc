// An encoder in the Open Inference Protocol, against the reference outputs of tests/golden/bert.
#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {
namespace {

class OipEncoderTest : public OipTest {
 protected:
  std::string Text(size_t i) const { return golden_.Text(i); }
};

TEST_F(OipEncoderTest, EmbeddingIsTheDefault) {
  ModelInferRequest request = Texts({Text(0), Text(1), Text(2)});
  request.set_id("seven");
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{3}, std::vector<int64_t>{3, 1}}) {
    request.mutable_inputs(0)->clear_shape();
    request.mutable_inputs(0)->mutable_shape()->Add(shape.begin(), shape.end());
    const ModelInferResponse response = MustInfer(request);
    EXPECT_EQ(response.id(), "seven");
    EXPECT_EQ(response.model_name(), "bert");
    EXPECT_EQ(response.model_version(), "1");
    ASSERT_EQ(response.outputs_size(), 1);
    EXPECT_EQ(response.outputs(0).datatype(), "FP32");
    const Output<float> embedding(response, "embedding");
    std::vector<float> expected;
    for (size_t i = 0; i < 3; ++i) {
      const std::vector<float> one = GoldenEmbedding(i);
      expected.insert(expected.end(), one.begin(), one.end());
    }
    EXPECT_EQ(embedding.shape, (std::vector<int64_t>{3, static_cast<int64_t>(expected.size()) / 3}));
    ExpectNear(embedding.values, expected);
  }
}

TEST_F(OipEncoderTest, EveryOutputPaddedWithZeros) {
  const ModelInferResponse response = MustInfer(
      Texts({Text(1), Text(5)}, {"last_hidden_state", "attention", "attention_entropy", "token_ids", "token_count"}));
  EXPECT_EQ(response.outputs_size(), 5);  // no embedding, which was not asked for
  const Output<int32_t> count(response, "token_count"), ids(response, "token_ids");
  const Output<float> hidden(response, "last_hidden_state"), maps(response, "attention"),
      entropy(response, "attention_entropy");
  const int64_t length = std::max(count.values[0], count.values[1]);
  const ModelConfig& config = Served().model->config;
  const int64_t width = config.hidden_size, heads = config.layers * config.heads;
  EXPECT_NE(count.values[0], count.values[1]);
  EXPECT_EQ(ids.shape, (std::vector<int64_t>{2, length}));
  EXPECT_EQ(hidden.shape, (std::vector<int64_t>{2, length, width}));
  EXPECT_EQ(maps.shape, (std::vector<int64_t>{2, config.layers, config.heads, length, length}));
  EXPECT_EQ(entropy.shape, (std::vector<int64_t>{2, config.layers, config.heads, length}));

  for (const size_t i : {0, 1}) {
    const size_t golden = i == 0 ? 1 : 5;
    const std::vector<int32_t> expected_ids = golden_.Ints(golden, "ids");
    const std::vector<float> expected_hidden = golden_.Floats(golden, "hidden"),
                             expected_maps = golden_.Floats(golden, "attentions");
    const int64_t tokens = count.values[i];
    ASSERT_EQ(tokens, static_cast<int64_t>(expected_ids.size()));
    for (int64_t t = 0; t < length; ++t) {
      const bool real = t < tokens;
      EXPECT_EQ(ids.values[i * length + t], real ? expected_ids[t] : 0);
      for (int64_t d = 0; d < width; ++d) {
        EXPECT_NEAR(hidden.values[(i * length + t) * width + d], real ? expected_hidden[t * width + d] : 0, 1e-4);
      }
      for (int64_t m = 0; m < heads; ++m) {
        double expected_entropy = 0;
        for (int64_t j = 0; j < length; ++j) {
          const float p = real && j < tokens ? expected_maps[(m * tokens + t) * tokens + j] : 0;
          ASSERT_NEAR(maps.values[((i * heads + m) * length + t) * length + j], p, 1e-4);
          if (p > 0) expected_entropy -= p * std::log(p);
        }
        EXPECT_NEAR(entropy.values[(i * heads + m) * length + t], expected_entropy, 1e-3);
      }
    }
  }
}

TEST_F(OipEncoderTest, LayersAndHeadsSelect) {
  const Output<float> all(MustInfer(Texts({Text(5)}, {"attention"})), "attention");
  const int64_t layers = all.shape[1], heads = all.shape[2], map = all.shape[3] * all.shape[4];
  ModelInferRequest request = Texts({Text(5)}, {"attention", "attention_entropy"});
  (*request.mutable_parameters())["layers"].set_int64_param(layers - 1);
  (*request.mutable_parameters())["heads"].set_string_param("0,1");
  const ModelInferResponse response = MustInfer(request);
  const Output<float> some(response, "attention");
  EXPECT_EQ(some.shape, (std::vector<int64_t>{1, 1, 2, all.shape[3], all.shape[4]}));
  EXPECT_EQ(Output<float>(response, "attention_entropy").shape, (std::vector<int64_t>{1, 1, 2, all.shape[3]}));
  const auto begin = all.values.begin() + (layers - 1) * heads * map;
  ExpectNear(some.values, std::vector<float>(begin, begin + 2 * map), 1e-6f);
}

TEST_F(OipEncoderTest, IdsAreAsTheirText) {
  const std::vector<int32_t> first = golden_.Ints(1, "ids"), second = golden_.Ints(5, "ids");
  const size_t length = std::max(first.size(), second.size());
  std::vector<int64_t> ids(2 * length, 99), mask(2 * length), types(2 * length);
  std::copy(first.begin(), first.end(), ids.begin());
  std::copy(second.begin(), second.end(), ids.begin() + length);
  std::fill_n(mask.begin(), first.size(), 1);
  std::fill_n(mask.begin() + length, second.size(), 1);
  const auto rows = static_cast<int64_t>(length);

  ModelInferRequest request;
  request.set_model_name("bert");
  AddRaw(request, "input_ids", "INT64", {2, rows}, Bytes(ids));
  AddRaw(request, "attention_mask", "INT64", {2, rows}, Bytes(mask));
  AddRaw(request, "token_type_ids", "INT64", {2, rows}, Bytes(types));
  const Output<float> from_text(MustInfer(Texts({Text(1), Text(5)})), "embedding");
  ExpectNear(Output<float>(MustInfer(request), "embedding").values, from_text.values, 1e-6f);

  // One sequence without a mask, INT32, typed.
  ModelInferRequest typed;
  typed.set_model_name("bert");
  auto* contents = Add(typed, "input_ids", "INT32", {1, static_cast<int64_t>(second.size())})->mutable_contents();
  for (int32_t id : second) contents->add_int_contents(id);
  ExpectNear(Output<float>(MustInfer(typed), "embedding").values, GoldenEmbedding(5));

  // Other types give another vector.
  std::fill(types.begin(), types.end(), 1);
  *request.mutable_raw_input_contents(2) = Bytes(types);
  EXPECT_NE(Output<float>(MustInfer(request), "embedding").values, from_text.values);
}

TEST_F(OipEncoderTest, TokensAloneRunNoModel) {
  const ModelInferResponse response = MustInfer(Texts({Text(0)}, {"token_ids"}));
  EXPECT_EQ(Output<int32_t>(response, "token_ids").values, golden_.Ints(0, "ids"));
  EXPECT_EQ(Served().counters->batches.load(), 0u);
}

TEST_F(OipEncoderTest, TokensAreSpelledAndPlaced) {
  const std::vector<std::string> texts = {Text(5), "good"};
  const ModelInferResponse response = MustInfer(Texts(texts, {"tokens", "token_spans", "token_ids"}));
  const Tokenizer& tokenizer = *Served().model->tokenizer;
  const Output<int32_t> ids(response, "token_ids"), spans(response, "token_spans");
  const int64_t length = ids.shape[1];
  EXPECT_EQ(spans.shape, (std::vector<int64_t>{2, length, 2}));
  std::vector<std::string> spelled;
  for (int64_t row = 0; row < 2; ++row) {
    const Encoding expected = tokenizer.Encode(texts[row], {}).value();
    for (int64_t t = 0; t < length; ++t) {
      const bool real = t < expected.tokens();
      spelled.push_back(real ? tokenizer.TokenText(expected.ids[t]) : "");
      EXPECT_EQ(spans.values[(row * length + t) * 2], real ? expected.spans[t].begin : 0);
      EXPECT_EQ(spans.values[(row * length + t) * 2 + 1], real ? expected.spans[t].end : 0);
    }
  }
  for (int i = 0; i < response.outputs_size(); ++i) {
    if (response.outputs(i).name() != "tokens") continue;
    EXPECT_EQ(response.raw_output_contents(i), Framed(spelled));
  }
}

TEST_F(OipEncoderTest, TruncateAndNormalize) {
  const std::string text = Repeated("good ", 3000);
  ExpectRefused(Texts({"short", text}), "text[1]", "");
  for (const std::string side : {"end", "start"}) {
    ModelInferRequest request = Texts({text}, {"token_count", "embedding"});
    (*request.mutable_parameters())["truncate"].set_string_param(side);
    (*request.mutable_parameters())["normalize"].set_bool_param(true);
    const ModelInferResponse response = MustInfer(request);
    EXPECT_EQ(Output<int32_t>(response, "token_count").values[0], Served().model->config.max_tokens);
    double square = 0;
    for (float x : Output<float>(response, "embedding").values) square += x * x;
    EXPECT_NEAR(square, 1, 1e-5);
  }
}

TEST_F(OipEncoderTest, WhatIsWrongIsNamed) {
  const auto with = [&](const std::string& name, auto set) {
    ModelInferRequest request = Texts({"a"}, {"attention"});
    set((*request.mutable_parameters())[name]);
    return request;
  };
  ExpectRefused(with("layers", [](auto& p) { p.set_string_param("99"); }), "parameters.layers", "");
  ExpectRefused(with("heads", [](auto& p) { p.set_string_param("x"); }), "parameters.heads", "");
  ExpectRefused(with("heads", [](auto& p) { p.set_bool_param(true); }), "parameters.heads", "string_param");
  ExpectRefused(with("truncate", [](auto& p) { p.set_string_param("middle"); }), "parameters.truncate", "\"end\"");
  ExpectRefused(with("normalize", [](auto& p) { p.set_string_param("yes"); }), "parameters.normalize", "bool_param");
  ExpectRefused(with("timeout", [](auto& p) { p.set_int64_param(-1); }), "parameters.timeout", "microseconds");
  ExpectRefused(with("a b", [](auto& p) { p.set_int64_param(1); }), "parameters", "unknown; the model takes layers");
  ExpectRefused(with("layer", [](auto& p) { p.set_int64_param(1); }), "parameters.layer",
                "layers, heads, truncate, normalize");
  MustInfer(with("sequence_id", [](auto& p) { p.set_int64_param(1); }));
  MustInfer(with("timeout", [](auto& p) { p.set_string_param("60000000"); }));

  ExpectRefused(Texts({"a"}, {"logits"}), "outputs[0].name", "token_count");
  ExpectRefused(Texts({"\xff"}), "text[0]", "");
  ExpectRefused(Texts(std::vector<std::string>(5000, "a")), "text", "4096");
  ExpectRefused(Texts({std::string(1 << 20, 'a')}), "text[0]", "131072");
  ModelInferRequest request = Texts({"a"});
  request.mutable_inputs(0)->add_shape(2);
  request.set_raw_input_contents(0, Framed({"a", "b"}));
  ExpectRefused(request, "inputs[0].shape", "text has shape [1, 2]; it must be [n] or [n, 1]");
  request = Texts({"a"});
  AddRaw(request, "attention_mask", "INT32", {1, 1}, Bytes<int32_t>({1}));
  ExpectRefused(request, "inputs", "text goes without attention_mask");
  request.mutable_inputs()->DeleteSubrange(0, 1);
  request.mutable_raw_input_contents()->DeleteSubrange(0, 1);
  ExpectRefused(request, "inputs", "text or input_ids is needed");

  const auto ids = [&](const std::vector<int32_t>& values, const std::vector<int32_t>& mask) {
    ModelInferRequest of_ids;
    of_ids.set_model_name("bert");
    AddRaw(of_ids, "input_ids", "INT32", {1, static_cast<int64_t>(values.size())}, Bytes(values));
    AddRaw(of_ids, "attention_mask", "INT32", {1, static_cast<int64_t>(mask.size())}, Bytes(mask));
    return of_ids;
  };
  MustInfer(ids({1, 2, 3}, {1, 1, 0}));
  ExpectRefused(ids({1, 2, 3}, {1, 0, 1}), "inputs[1]", "element 2 is 1");
  ExpectRefused(ids({1, 2, 3}, {0, 0, 0}), "inputs[1]", "at least 1 token");
  ExpectRefused(ids({1, 2, 3}, {1, 2, 0}), "inputs[1]", "element 1 is 2");
  ExpectRefused(ids({1, 2, 3}, {1, 1}), "inputs[1].shape", "attention_mask has shape [1, 2]");
  ExpectRefused(ids({1, -5, 3}, {1, 1, 1}), "input_ids[0]", "");
  ExpectRefused(ids({1, 1 << 30, 3}, {1, 1, 1}), "input_ids[0]", "");
  ExpectAlive();
}

TEST_F(OipEncoderTest, UnknownModelsAndVersions) {
  ModelInferRequest request = Texts({"a"});
  ModelInferResponse response;
  request.set_model_version("1");
  MustInfer(request);
  request.set_model_version("2");
  EXPECT_EQ(Infer(request, response).error_code(), grpc::StatusCode::NOT_FOUND);
  request.set_model_name("secret");
  const grpc::Status status = Infer(request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "no such model; served are: bert, attention (built in)");
}

class OipCapTest : public OipTest {
 protected:
  void SetUp() override {
    config_.limits.max_attention_bytes = 100000;
    OipTest::SetUp();
  }
};

// The padded sizes count: one long text makes the others long.
TEST_F(OipCapTest, OutputsAreBounded) {
  ModelInferResponse response;
  std::vector<std::string> texts(20, "a");
  texts.push_back("one text that is longer than all the others, much longer");
  EXPECT_TRUE(Infer(Texts({"a"}, {"attention"}), response).ok());
  const grpc::Status status = Infer(Texts(texts, {"attention"}), response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(status.error_message().find("100000 (the server's max_attention_bytes)"), std::string::npos)
      << status.error_message();
}

}  // namespace
}  // namespace attnd::oip
