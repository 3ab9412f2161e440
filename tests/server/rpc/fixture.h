// A whole server inside the test: the real gRPC surface, batcher and engine over a model of tests/golden.
#ifndef ATTND_TESTS_SERVER_RPC_FIXTURE_H_
#define ATTND_TESTS_SERVER_RPC_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "attnd/v1/attnd.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/grpcpp.h"
#include "server/ops/server.h"
#include "server/rpc/services.h"
#include "tests/golden/golden.h"

namespace attnd {

// Long texts of short words.
inline std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

class ServerTest : public testing::Test {
 protected:
  // Serves the golden model `model`, where the test puts no others into config_ before Start.
  explicit ServerTest(const std::string& model = "bert") : golden_(golden::Folder(model) + "/golden") {
    config_.models = {{.name = model, .folder = golden::Folder(model)}};
    config_.listen = "127.0.0.1:0";
    config_.metrics_listen = "off";
    config_.workers = 2;
    config_.log_level = "off";
    config_.drain_notice = absl::ZeroDuration();
    config_.drain_timeout = absl::Seconds(5);
  }
  ~ServerTest() override {
    if (server_ != nullptr) server_->Shutdown();
  }

  void Start() {
    auto server = Server::Start(config_, MakeServices);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(), arguments);
    stub_ = v1::Attnd::NewStub(channel_);
  }
  // A server that runs nothing for a long time: what is sent stays in the queue.
  void StartIdle() {
    config_.queue.max_queue_delay_us = int64_t{3600} * 1000000;
    Start();
  }

  // A stub with a connection of its own that buffers little: a window of 64 KiB that stays as it is.
  std::unique_ptr<v1::Attnd::Stub> NarrowStub() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65536);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::Attnd::NewStub(
        grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(), arguments));
  }

  grpc::Status Embed(const v1::EmbedRequest& request, v1::EmbedResponse& response) {
    grpc::ClientContext context;
    return stub_->Embed(&context, request, &response);
  }
  // Waits for something that another thread is about to do.
  static bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 10000; ++i) {
      if (condition()) return true;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return false;
  }
  // Whether all calls end.
  bool Idle() {
    return Eventually([&] { return server_->context().drain.in_flight() == 0; });
  }
  int64_t Queued() { return server_->context().batcher.Stats(*Served().queue).requests; }

  // The model of the configuration.
  const ServedModel& Served() { return *server_->context().models.models()[0]; }

  // The fields that a status blames.
  static std::vector<std::string> Fields(const grpc::Status& status) {
    std::vector<std::string> fields;
    google::rpc::Status details;
    if (!details.ParseFromString(status.error_details())) return fields;
    for (const auto& detail : details.details()) {
      google::rpc::BadRequest bad;
      if (!absl::EndsWith(detail.type_url(), "google.rpc.BadRequest") || !bad.ParseFromString(detail.value())) continue;
      for (const auto& violation : bad.field_violations()) fields.push_back(violation.field());
    }
    return fields;
  }
  static void ExpectInvalid(const grpc::Status& status, const std::string& field, const std::string& words = "") {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_EQ(Fields(status), std::vector<std::string>{field}) << status.error_message();
    EXPECT_NE(status.error_message().find(words), std::string::npos) << status.error_message();
  }
  // A refusal for the time being: it says when to try again.
  static void ExpectFullQueue(const grpc::Status& status) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
    google::rpc::Status details;
    ASSERT_TRUE(details.ParseFromString(status.error_details()));
    ASSERT_EQ(details.details_size(), 1);
    EXPECT_TRUE(absl::EndsWith(details.details(0).type_url(), "google.rpc.RetryInfo"));
  }
  // After whatever bad: the server still answers.
  void ExpectAlive() {
    v1::EmbedRequest request;
    request.add_texts("still here");
    v1::EmbedResponse response;
    const grpc::Status status = Embed(request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  // The mean of the last hidden states, as the pooling of bert is. // [hidden]
  std::vector<float> GoldenEmbedding(size_t i) const {
    const std::vector<float> hidden = golden_.Floats(i, "hidden");
    const size_t tokens = golden_.Ints(i, "ids").size(), width = hidden.size() / tokens;
    std::vector<float> mean(width);
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t d = 0; d < width; ++d) mean[d] += hidden[t * width + d] / static_cast<float>(tokens);
    }
    return mean;
  }
  static std::vector<float> Floats(const std::string& bytes) {
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return values;
  }
  static void ExpectNear(const std::vector<float>& actual, const std::vector<float>& expected,
                         float tolerance = 1e-4f) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], tolerance) << "element " << i;
  }

  Config config_;
  golden::Cases golden_;  // of the golden model
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Attnd::Stub> stub_;
};

}  // namespace attnd

#endif  // ATTND_TESTS_SERVER_RPC_FIXTURE_H_
