// The built-in operator over both protocols: the same figures, and what is wrong is named.
#include <cmath>
#include <random>

#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {
namespace {

struct Tensors {
  int64_t b = 2, h = 4, h_kv = 2, n = 5, m = 7, d = 6;
  std::vector<float> query, key, value;
  std::vector<uint8_t> mask;  // [b, 1, n, m]

  Tensors() {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    query.resize(static_cast<size_t>(b * h * n * d));
    key.resize(static_cast<size_t>(b * h_kv * m * d));
    value.resize(key.size());
    mask.resize(static_cast<size_t>(b * n * m));
    for (auto* tensor : {&query, &key, &value}) {
      for (float& x : *tensor) x = normal(random);
    }
    for (uint8_t& x : mask) x = random() % 2;
    std::fill_n(mask.begin() + m, m, 0);  // query 1 of the first batch sees nothing
  }
};

class OipAttentionTest : public OipTest {
 protected:
  ModelInferRequest Request() const {
    ModelInferRequest request;
    request.set_model_name("attention");
    AddRaw(request, "query", "FP32", {t_.b, t_.h, t_.n, t_.d}, Bytes(t_.query));
    AddRaw(request, "key", "FP32", {t_.b, t_.h_kv, t_.m, t_.d}, Bytes(t_.key));
    AddRaw(request, "value", "FP32", {t_.b, t_.h_kv, t_.m, t_.d}, Bytes(t_.value));
    return request;
  }
  v1::ComputeAttentionRequest TypedRequest() const {
    v1::ComputeAttentionRequest request;
    const auto set = [&](v1::FloatTensor& tensor, int64_t heads, int64_t rows, const std::vector<float>& values) {
      for (int64_t dimension : {t_.b, heads, rows, t_.d}) tensor.add_shape(dimension);
      tensor.set_data(Bytes(values));
    };
    set(*request.mutable_query(), t_.h, t_.n, t_.query);
    set(*request.mutable_key(), t_.h_kv, t_.m, t_.key);
    set(*request.mutable_value(), t_.h_kv, t_.m, t_.value);
    return request;
  }
  grpc::Status Compute(const v1::ComputeAttentionRequest& request, v1::ComputeAttentionResponse& response) {
    grpc::ClientContext context;
    return stub_->ComputeAttention(&context, request, &response);
  }
  // Element [b, h, i, j] of the weights by the definition, and the outputs that follow.
  void Expect(const Output<float>& output, const Output<float>& weights, const Output<float>& entropy, bool masked,
              bool causal, double scale) const {
    for (int64_t row = 0; row < t_.b * t_.h * t_.n; ++row) {
      const int64_t b = row / (t_.h * t_.n), h = row / t_.n % t_.h, i = row % t_.n;
      const int64_t keys = (b * t_.h_kv + h / (t_.h / t_.h_kv)) * t_.m;
      std::vector<double> p(static_cast<size_t>(t_.m));
      double sum = 0, h_row = 0;
      for (int64_t j = 0; j < t_.m; ++j) {
        double dot = 0;
        for (int64_t k = 0; k < t_.d; ++k) dot += double{t_.query[row * t_.d + k]} * t_.key[(keys + j) * t_.d + k];
        const bool seen = (!masked || t_.mask[(b * t_.n + i) * t_.m + j] != 0) && (!causal || j <= i + t_.m - t_.n);
        sum += p[j] = seen ? std::exp(dot * scale) : 0;
      }
      for (int64_t j = 0; j < t_.m; ++j) {
        if (sum > 0) p[j] /= sum;
        if (p[j] > 0) h_row -= p[j] * std::log(p[j]);
        ASSERT_NEAR(weights.values[row * t_.m + j], p[j], 1e-5);
      }
      ASSERT_NEAR(entropy.values[row], h_row, 1e-5);
      for (int64_t k = 0; k < t_.d; ++k) {
        double out = 0;
        for (int64_t j = 0; j < t_.m; ++j) out += p[j] * t_.value[(keys + j) * t_.d + k];
        ASSERT_NEAR(output.values[row * t_.d + k], out, 1e-5);
      }
    }
  }

  const Tensors t_;
};

TEST_F(OipAttentionTest, MatchesTheDefinitionInBothProtocols) {
  for (const bool masked : {false, true}) {
    for (const bool causal : {false, true}) {
      const double scale = causal ? 0.25 : 1 / std::sqrt(6.0);
      ModelInferRequest request = Request();
      v1::ComputeAttentionRequest typed = TypedRequest();
      for (const char* name : {"entropy", "weights", "output"}) request.add_outputs()->set_name(name);
      typed.set_weights(true);
      typed.set_entropy(true);
      if (masked) {
        AddRaw(request, "mask", "BOOL", {t_.b, 1, t_.n, t_.m}, Bytes(t_.mask));
        for (int64_t dimension : {t_.b, int64_t{1}, t_.n, t_.m}) typed.mutable_mask()->add_shape(dimension);
        for (uint8_t x : t_.mask) typed.mutable_mask()->add_values(x != 0);
      }
      if (causal) {
        (*request.mutable_parameters())["causal"].set_bool_param(true);
        (*request.mutable_parameters())["scale"].set_double_param(scale);
        typed.set_causal(true);
        typed.set_scale(scale);
      }
      const ModelInferResponse response = MustInfer(request);
      const Output<float> output(response, "output"), weights(response, "weights"), entropy(response, "entropy");
      EXPECT_EQ(output.shape, (std::vector<int64_t>{2, 4, 5, 6}));
      EXPECT_EQ(weights.shape, (std::vector<int64_t>{2, 4, 5, 7}));
      EXPECT_EQ(entropy.shape, (std::vector<int64_t>{2, 4, 5}));
      Expect(output, weights, entropy, masked, causal, scale);

      v1::ComputeAttentionResponse answer;
      grpc::Status status = Compute(typed, answer);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(Floats(answer.output().data()), output.values);
      EXPECT_EQ(Floats(answer.weights().data()), weights.values);
      EXPECT_EQ(Floats(answer.entropy().data()), entropy.values);
      EXPECT_GT(answer.timings().compute_ns(), 0u);
      typed.set_format(v1::VECTOR_FORMAT_FLOATS);
      status = Compute(typed, answer);
      ASSERT_TRUE(status.ok()) << status.error_message();
      EXPECT_EQ(std::vector<float>(answer.output().values().begin(), answer.output().values().end()), output.values);
    }
  }
}

TEST_F(OipAttentionTest, OnlyWhatIsAskedFor) {
  const ModelInferResponse plain = MustInfer(Request());
  ASSERT_EQ(plain.outputs_size(), 1);
  EXPECT_EQ(plain.outputs(0).name(), "output");
  ModelInferRequest request = Request();
  request.add_outputs()->set_name("weights");
  const ModelInferResponse weights = MustInfer(request);
  ASSERT_EQ(weights.outputs_size(), 1);
  EXPECT_EQ(weights.outputs(0).name(), "weights");
}

TEST_F(OipAttentionTest, WhatIsWrongIsNamed) {
  const auto reshaped = [&](int input, const std::vector<int64_t>& shape) {
    ModelInferRequest request = Request();
    request.mutable_inputs(input)->clear_shape();
    request.mutable_inputs(input)->mutable_shape()->Add(shape.begin(), shape.end());
    return request;
  };
  ExpectRefused(reshaped(0, {2, 4, 30}), "query.shape", "query has shape [2, 4, 30]; it must be [b, h, n, d]");
  ExpectRefused(reshaped(1, {2, 2, 6, 7}), "key.shape", "key has shape [2, 2, 6, 7], query [2, 4, 5, 6]");
  ExpectRefused(reshaped(1, {1, 4, 7, 6}), "key.shape", "first and the last");
  ExpectRefused(reshaped(2, {2, 1, 14, 6}), "value.shape", "they must be the same");
  ModelInferRequest request = reshaped(1, {2, 1, 14, 6});
  request.mutable_inputs(2)->CopyFrom(request.inputs(1));
  request.mutable_inputs(2)->set_name("value");
  MustInfer(request);  // one key head for all
  request = reshaped(0, {2, 5, 4, 6});
  ExpectRefused(request, "key.shape", "5 query heads are not a multiple of the 2 key heads");
  request = Request();
  request.mutable_inputs()->RemoveLast();
  request.mutable_raw_input_contents()->RemoveLast();
  ExpectRefused(request, "inputs", "value is missing");
  request = Request();
  AddRaw(request, "mask", "BOOL", {t_.m, t_.n}, std::string(35, '\1'));
  ExpectRefused(request, "mask.shape", "here [5, 7] or [2, 1 or 4, 5, 7]");
  request = Request();
  (*request.mutable_parameters())["scale"].set_double_param(INFINITY);
  ExpectRefused(request, "scale", "finite");
  (*request.mutable_parameters())["scale"].set_string_param("1");
  ExpectRefused(request, "parameters.scale", "double_param");

  v1::ComputeAttentionResponse answer;
  v1::ComputeAttentionRequest typed = TypedRequest();
  typed.mutable_query()->mutable_data()->resize(8);
  ExpectInvalid(Compute(typed, answer), "query.data", "query has 8 bytes; its shape needs 960");
  typed.mutable_query()->add_values(1);
  ExpectInvalid(Compute(typed, answer), "query", "data and values");
  typed.mutable_query()->clear_data();
  ExpectInvalid(Compute(typed, answer), "query.values", "query has 1 values; its shape needs 240");
  typed.mutable_query()->set_shape(0, -2);
  ExpectInvalid(Compute(typed, answer), "query.shape", "negative");
  ExpectInvalid(Compute({}, answer), "query.data", "query has 0 bytes; its shape needs 4");
  ExpectAlive();
}

TEST_F(OipAttentionTest, OutputsAreBoundedBeforeAnyWork) {
  // 2 MB in, 16 GB of weights out.
  ModelInferRequest request;
  request.set_model_name("attention");
  AddRaw(request, "query", "FP32", {1, 1, 65536, 1}, std::string(65536 * 4, '\0'));
  AddRaw(request, "key", "FP32", {1, 1, 65536, 1}, std::string(65536 * 4, '\0'));
  AddRaw(request, "value", "FP32", {1, 1, 65536, 1}, std::string(65536 * 4, '\0'));
  request.add_outputs()->set_name("weights");
  ModelInferResponse response;
  const grpc::Status status = Infer(request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(),
            "the outputs of 65536 rows would be 17180131328 bytes; at most 268435456 (max_attention_bytes)");
}

TEST_F(OipAttentionTest, ATimeoutEndsIt) {
  ModelInferRequest request;
  request.set_model_name("attention");
  const int64_t n = 60000;  // seconds of work
  for (const char* name : {"query", "key", "value"}) {
    AddRaw(request, name, "FP32", {1, 1, n, 20}, std::string(static_cast<size_t>(n) * 20 * 4, '\0'));
  }
  (*request.mutable_parameters())["timeout"].set_int64_param(50000);
  ModelInferResponse response;
  EXPECT_EQ(Infer(request, response).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(server_->context().models.attention()->counters->failed.load(), 1u);
}

}  // namespace
}  // namespace attnd::oip
