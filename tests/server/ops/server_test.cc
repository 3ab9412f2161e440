// The whole server, without a model, over real connections.
#include "server/ops/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "server/ops/call_monitor.h"
#include "server/ops/status.h"
#include "tests/server/ops/http_get.h"
#include "tests/server/raw_call.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

Config TestConfig() {
  Config config;
  config.listen = "127.0.0.1:0";
  config.metrics_listen = "127.0.0.1:0";
  config.log_level = "off";
  config.workers = 2;
  return config;
}

std::vector<std::unique_ptr<grpc::Service>> NoServices(ServerContext&) { return {}; }

std::unique_ptr<Server> StartServer(const Config& config = TestConfig()) {
  auto server = Server::Start(config, NoServices);
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

std::shared_ptr<grpc::Channel> Dial(const Server& server) {
  return grpc::CreateChannel(server.address(), grpc::InsecureChannelCredentials());
}

// HealthCheckRequest {service = 1}; the answer's status = 1: 1 SERVING, 2 NOT_SERVING.
int Health(grpc::Channel& channel, const std::string& service) {
  std::string request, response;
  if (!service.empty()) request = std::string("\x0a") + static_cast<char>(service.size()) + service;
  const grpc::Status status = RawCall(channel, "/grpc.health.v1.Health/Check", request, &response);
  if (!status.ok()) return -static_cast<int>(status.error_code());
  return response.size() == 2 ? response[1] : 0;
}

TEST(ServerTest, HealthPerServiceMetricsAndUnknownMethods) {
  auto server = StartServer();
  auto channel = Dial(*server);
  EXPECT_EQ(Health(*channel, ""), 1);
  EXPECT_EQ(Health(*channel, "attnd.v1.Attnd"), 1);
  EXPECT_EQ(Health(*channel, "inference.GRPCInferenceService"), 1);
  EXPECT_EQ(Health(*channel, "no.such.Service"), -grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(RawCall(*channel, "/no.such.Service/Method", "").error_code(), grpc::StatusCode::UNIMPLEMENTED);
  const std::string scrape = HttpGet(server->metrics_address(), "/metrics");
  EXPECT_THAT(scrape, HasSubstr("grpc_server_handled_total{grpc_code=\"Unimplemented\",grpc_method=\"unknown\","
                                "grpc_service=\"unknown\",grpc_type=\"unary\"} 1"));
  EXPECT_THAT(scrape, HasSubstr("attnd_rejected_total{reason=\"unimplemented\"} 1"));
  EXPECT_THAT(scrape, HasSubstr("attnd_connections 1"));
  EXPECT_THAT(scrape, HasSubstr("attnd_queue_tokens{model=\"attention\"} 0"));
  EXPECT_THAT(server->ReadyLine(absl::Milliseconds(310)),
              HasSubstr("attnd ready in 0.31 s   no model   grpc " + server->address() + "   metrics " +
                        server->metrics_address()));
}

TEST(ServerTest, CompressedRequestsAreRefusedBeforeTheyAreInflated) {
  auto server = StartServer();
  auto channel = Dial(*server);
  const grpc::Status status =
      RawCall(*channel, "/grpc.health.v1.Health/Check", std::string(4 << 20, '\0'), nullptr, GRPC_COMPRESS_GZIP);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
  EXPECT_EQ(Health(*channel, ""), 1);
}

TEST(ServerTest, OversizeMessagesAreRefused) {
  Config config = TestConfig();
  config.limits.max_message_bytes = 1 << 20;
  auto server = StartServer(config);
  auto channel = Dial(*server);
  EXPECT_EQ(RawCall(*channel, "/grpc.health.v1.Health/Check", std::string(2 << 20, '\0')).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Health(*channel, ""), 1);
}

TEST(ServerTest, TwoThousandIdleConnectionsDoNotKeepOthersOut) {
  auto server = StartServer();
  std::vector<int> idle;
  idle.reserve(2000);
  for (int i = 0; i < 2000; ++i) idle.push_back(Connect(server->address()));
  EXPECT_EQ(std::count(idle.begin(), idle.end(), -1), 0);
  auto channel = Dial(*server);
  EXPECT_EQ(Health(*channel, ""), 1);
  for (int fd : idle) close(fd);
}

TEST(ServerTest, ConnectionsBeyondTheBoundAreClosed) {
  Config config = TestConfig();
  config.max_connections = 1;
  auto server = StartServer(config);
  auto first = Dial(*server);
  EXPECT_EQ(Health(*first, ""), 1);
  grpc::ChannelArguments own_connection;
  own_connection.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto second = grpc::CreateCustomChannel(server->address(), grpc::InsecureChannelCredentials(), own_connection);
  EXPECT_EQ(Health(*second, ""), -grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Health(*first, ""), 1);
}

TEST(ServerTest, PortsInUseAreErrorsThatNameThem) {
  auto server = StartServer();
  Config config = TestConfig();
  config.listen = server->address();
  const auto same_port = Server::Start(config, NoServices);
  EXPECT_THAT(std::string(same_port.status().message()), HasSubstr("cannot listen on " + server->address()));
  config = TestConfig();
  config.metrics_listen = server->metrics_address();
  config.drain_grace = absl::Minutes(1);
  const absl::Time begin = absl::Now();
  const auto same_metrics = Server::Start(config, NoServices);
  EXPECT_THAT(std::string(same_metrics.status().message()), HasSubstr("cannot listen on " + server->metrics_address()));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(50));  // the error does not wait as calls would
}

TEST(ServerTest, AModelFolderAtFaultIsNamed) {
  Config config = TestConfig();
  config.models = {{.name = "broken", .folder = "/does/not/exist"}};
  const auto server = Server::Start(config, NoServices);
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("model broken: "));
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("/does/not/exist"));
}

// Health says NOT_SERVING first, while work is still taken; then it is refused, and a call in flight holds the drain
// until it ends.
TEST(ServerTest, ShutdownWaitsForCallsInFlight) {
  auto server = StartServer();
  auto channel = Dial(*server);
  EXPECT_EQ(Health(*channel, ""), 1);
  ServerContext& context = server->context();
  auto call = std::make_unique<CallMonitor>(context, context.metrics.Method("attnd.v1.Attnd", "Embed"), "test");
  absl::Notification draining;
  context.drain.OnStart([&] { draining.Notify(); });
  std::thread shutdown([&] { server->Shutdown(); });
  int health = 1;
  for (int said = 1; !context.drain.started() && said > 0; said = Health(*channel, "")) health = said;
  EXPECT_EQ(health, 2);
  draining.WaitForNotification();
  EXPECT_LT(Health(*channel, ""), 0);
  EXPECT_EQ(context.drain.in_flight(), 1);
  call->Finish(absl::OkStatus());
  call.reset();
  shutdown.join();
  EXPECT_LT(Health(*channel, ""), 0);
}

TEST(ServerTest, TheDrainTimeoutEndsCallsThatDoNot) {
  Config config = TestConfig();
  config.drain_timeout = absl::Milliseconds(20);
  auto server = StartServer(config);
  ServerContext& context = server->context();
  CallMonitor stuck(context, context.metrics.Method("attnd.v1.Attnd", "Embed"), "test");
  server->Shutdown();  // returns although the call is still there
  EXPECT_EQ(context.drain.in_flight(), 1);
}

}  // namespace
}  // namespace attnd
