// What the Open Inference Protocol tells of the server, and its streams.
#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {
namespace {

using inference::ModelStreamInferResponse;

class OipServiceTest : public OipTest {};

TEST_F(OipServiceTest, LiveReadyAndMetadata) {
  EXPECT_TRUE(Ask<inference::ServerLiveResponse>(&Stub::ServerLive, inference::ServerLiveRequest()).live());
  EXPECT_TRUE(Ask<inference::ServerReadyResponse>(&Stub::ServerReady, inference::ServerReadyRequest()).ready());
  const auto server = Ask<inference::ServerMetadataResponse>(&Stub::ServerMetadata, inference::ServerMetadataRequest());
  EXPECT_EQ(server.name(), "attnd");
  EXPECT_NE(std::find(server.extensions().begin(), server.extensions().end(), "statistics"), server.extensions().end());

  inference::ModelReadyRequest ready;
  for (const auto& [name, expected] : {std::pair("bert", true), std::pair("attention", true), std::pair("x", false)}) {
    ready.set_name(name);
    EXPECT_EQ(Ask<inference::ModelReadyResponse>(&Stub::ModelReady, ready).ready(), expected) << name;
  }
  const auto index =
      Ask<inference::RepositoryIndexResponse>(&Stub::RepositoryIndex, inference::RepositoryIndexRequest());
  ASSERT_EQ(index.models_size(), 2);
  EXPECT_EQ(index.models(0).name(), "bert");
  EXPECT_EQ(index.models(0).state(), "READY");
}

TEST_F(OipServiceTest, ReadyFollowsHealthAndIsAnsweredToTheEnd) {
  Drain& drain = server_->context().drain;
  const auto ready = [&] {
    return Ask<inference::ServerReadyResponse>(&Stub::ServerReady, inference::ServerReadyRequest()).ready();
  };
  drain.Announce();
  EXPECT_FALSE(ready());
  MustInfer(Texts({"a"}));  // calls are taken for a while
  drain.Start();
  EXPECT_FALSE(ready());
  EXPECT_TRUE(Ask<inference::ServerLiveResponse>(&Stub::ServerLive, inference::ServerLiveRequest()).live());
  ModelInferResponse response;
  EXPECT_EQ(Infer(Texts({"a"}), response).error_code(), grpc::StatusCode::UNAVAILABLE);
}

class OipGraceTest : public OipTest {
 protected:
  OipGraceTest() { config_.drain_grace = absl::Seconds(2); }
};

TEST_F(OipGraceTest, NotReadyWhileHealthSaysSoAndCallsAreTaken) {
  std::thread shutdown([&] { server_->Shutdown(); });
  EXPECT_TRUE(Eventually([&] { return server_->context().drain.announced(); }));
  EXPECT_FALSE(Ask<inference::ServerReadyResponse>(&Stub::ServerReady, inference::ServerReadyRequest()).ready());
  MustInfer(Texts({"a"}));
  shutdown.join();
}

TEST_F(OipServiceTest, MetadataAndConfigurationAgree) {
  const ModelConfig& config = Served().model->config;
  for (const std::string name : {"bert", "attention"}) {
    inference::ModelMetadataRequest request;
    request.set_name(name);
    const auto metadata = Ask<inference::ModelMetadataResponse>(&Stub::ModelMetadata, request);
    inference::ModelConfigRequest of_config;
    of_config.set_name(name);
    const auto response = Ask<inference::ModelConfigResponse>(&Stub::ModelConfig, of_config);
    EXPECT_EQ(metadata.versions(0), "1");
    ASSERT_EQ(metadata.inputs_size(), response.config().input_size());
    ASSERT_EQ(metadata.outputs_size(), response.config().output_size());
    const int batch = response.config().max_batch_size() > 0 ? 1 : 0;
    for (int i = 0; i < metadata.outputs_size(); ++i) {
      const auto& shape = metadata.outputs(i).shape();
      const auto& dims = response.config().output(i).dims();
      EXPECT_EQ(metadata.outputs(i).name(), response.config().output(i).name());
      EXPECT_TRUE(std::equal(shape.begin() + batch, shape.end(), dims.begin(), dims.end()));
    }
    if (name == "bert") {
      EXPECT_EQ(metadata.outputs(0).shape(1), config.hidden_size);
      EXPECT_EQ(metadata.outputs(2).shape(1), config.layers);
      EXPECT_EQ(metadata.outputs(2).shape(2), config.heads);
      EXPECT_EQ(response.config().input(0).data_type(), inference::TYPE_STRING);
      EXPECT_EQ(metadata.properties().at("architecture"), "BertModel");
    }
  }
  inference::ModelMetadataRequest unknown;
  unknown.set_name("secret");
  grpc::ClientContext context;
  inference::ModelMetadataResponse response;
  EXPECT_EQ(inference_->ModelMetadata(&context, unknown, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(OipServiceTest, StatisticsCount) {
  MustInfer(Texts({"a", "b", "c"}));
  MustInfer(Texts({"d"}));
  ModelInferResponse failed;
  EXPECT_FALSE(Infer(Texts({"a"}, {"nothing"}), failed).ok());
  inference::ModelStatisticsRequest request;
  request.set_name("bert");
  const auto response = Ask<inference::ModelStatisticsResponse>(&Stub::ModelStatistics, request);
  ASSERT_EQ(response.model_stats_size(), 1);
  const auto& statistics = response.model_stats(0);
  EXPECT_EQ(statistics.inference_count(), 4u);
  EXPECT_GE(statistics.execution_count(), 2u);
  EXPECT_EQ(statistics.inference_stats().success().count(), 2u);
  EXPECT_EQ(statistics.inference_stats().fail().count(), 1u);
  EXPECT_GT(statistics.inference_stats().compute_infer().ns(), 0u);
  EXPECT_GT(statistics.inference_stats().success().ns(), statistics.inference_stats().compute_infer().ns());
  EXPECT_GT(statistics.last_inference(), 1600000000000u);
  EXPECT_GT(statistics.memory_usage(0).byte_size(), 1000u);
  request.clear_name();
  EXPECT_EQ(Ask<inference::ModelStatisticsResponse>(&Stub::ModelStatistics, request).model_stats_size(), 2);
}

TEST_F(OipServiceTest, StreamsAnswerInOrderAndGoOnAfterErrors) {
  grpc::ClientContext context;
  auto stream = inference_->ModelStreamInfer(&context);
  constexpr int kRequests = 40;
  std::thread writer([&] {
    for (int i = 0; i < kRequests; ++i) {
      ModelInferRequest request = Texts({std::string(static_cast<size_t>(i % 7), 'a')});
      if (i % 10 == 3) request.set_model_name("secret");
      if (i % 10 == 4) request.add_outputs()->set_name("nothing");
      if (i % 2 == 0) (*request.mutable_parameters())["triton_enable_empty_final_response"].set_bool_param(true);
      request.set_id(std::to_string(i));
      ASSERT_TRUE(stream->Write(request));
    }
    stream->WritesDone();
  });
  ModelStreamInferResponse reply;
  int got = 0;
  for (; stream->Read(&reply); ++got) {
    const ModelInferResponse& response = reply.infer_response();
    EXPECT_EQ(response.id(), std::to_string(got));
    const bool bad = got % 10 == 3 || got % 10 == 4;
    EXPECT_EQ(!reply.error_message().empty(), bad) << reply.error_message();
    EXPECT_EQ(response.outputs_size(), bad ? 0 : 1);
    EXPECT_EQ(response.parameters().count("triton_final_response"), got % 2 == 0 ? 1u : 0u);
  }
  writer.join();
  EXPECT_EQ(got, kRequests);
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  // Each request counts for its model, those of unknown models for none.
  const ModelCounters& counters = *Served().counters;
  EXPECT_EQ(counters.succeeded.load(), 32u);
  EXPECT_EQ(counters.failed.load(), 4u);
}

TEST_F(OipServiceTest, AClientThatLeavesEndsItsStream) {
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    auto stream = inference_->ModelStreamInfer(&context);
    for (int j = 0; j < 8; ++j) stream->Write(Texts({"one", "two", "three"}, {"attention"}));
    context.TryCancel();
    stream->Finish();
  }
  EXPECT_TRUE(Idle());
  ExpectAlive();
}

TEST_F(OipServiceTest, AnIdleStreamDoesNotHoldUpTheDrain) {
  grpc::ClientContext context;
  auto stream = inference_->ModelStreamInfer(&context);
  ASSERT_TRUE(stream->Write(Texts({"a"})));
  ModelStreamInferResponse reply;
  ASSERT_TRUE(stream->Read(&reply));
  server_->Shutdown();
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(OipServiceTest, BytesThatAreNoRequest) {
  grpc::ClientContext context;
  ModelInferRequest request = Texts({"a"});
  request.set_id("\xff");
  ModelInferResponse response;
  const grpc::Status status = inference_->ModelInfer(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  ExpectAlive();
}

}  // namespace
}  // namespace attnd::oip
