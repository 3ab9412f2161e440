#include "server/ops/metrics.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "server/ops/exposer.h"
#include "server/ops/model_loader.h"
#include "server/ops/runtime_metrics.h"
#include "tests/server/ops/http_get.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(MetricsTest, MethodsOfBothServicesAndOneForTheRest) {
  Metrics metrics;
  EXPECT_EQ(metrics.Method("attnd.v1.Attnd", "Embed").full_name, "attnd.v1.Attnd/Embed");
  EXPECT_NE(metrics.Method("attnd.v1.Attnd", "EmbedStream").stages[0], nullptr);
  EXPECT_EQ(metrics.Method("attnd.v1.Attnd", "ListModels").stages[0], nullptr);
  EXPECT_EQ(metrics.Method("inference.GRPCInferenceService", "ModelInfer").method, "ModelInfer");
  EXPECT_EQ(metrics.Method("some.Service", "Random1").method, "unknown");
  EXPECT_EQ(&metrics.Method("a", "b"), &metrics.Method("c", "d"));
}

TEST(MetricsTest, CallsCountByCodeAndStagesByMethod) {
  Metrics metrics;
  const MethodMetrics& embed = metrics.Method("attnd.v1.Attnd", "Embed");
  embed.started->Increment();
  embed.handled[grpc::StatusCode::RESOURCE_EXHAUSTED]->Increment();
  metrics.ObserveStages(embed, {.validate = absl::Microseconds(50), .compute = absl::Milliseconds(3)});
  metrics.Rejected("queue_full");
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("grpc_server_started_total{grpc_method=\"Embed\",grpc_service=\"attnd.v1.Attnd\","
                              "grpc_type=\"unary\"} 1"));
  EXPECT_THAT(text, HasSubstr("grpc_server_handled_total{grpc_code=\"ResourceExhausted\",grpc_method=\"Embed\","
                              "grpc_service=\"attnd.v1.Attnd\",grpc_type=\"unary\"} 1"));
  EXPECT_THAT(text, HasSubstr("attnd_request_validate_seconds_bucket{method=\"Embed\",le=\"0.0001\"} 1"));
  EXPECT_THAT(text, HasSubstr("attnd_request_compute_seconds_bucket{method=\"Embed\",le=\"0.002\"} 0"));
  EXPECT_THAT(text, HasSubstr("attnd_request_compute_seconds_bucket{method=\"Embed\",le=\"0.003\"} 1"));
  EXPECT_THAT(text, HasSubstr("attnd_rejected_total{reason=\"queue_full\"} 1"));
  EXPECT_THAT(text, HasSubstr("grpc_type=\"bidi_stream\""));
  EXPECT_THAT(text, HasSubstr("grpc_type=\"server_stream\""));
}

// The autoscaler reads the mean wait over all methods.
TEST(MetricsTest, MethodsThatNeverQueueHaveNoWaitOfZero) {
  Metrics metrics;
  for (const char* name : {"Tokenize", "Detokenize", "EstimateAttention"}) {
    metrics.ObserveStages(metrics.Method("attnd.v1.Attnd", name), {.tokenise = absl::Milliseconds(3)});
    const std::string text = metrics.Text(), labels = std::string("{method=\"") + name + "\"}";
    EXPECT_THAT(text, HasSubstr("attnd_request_tokenise_seconds_count" + labels + " 1"));
    EXPECT_THAT(text, HasSubstr("attnd_request_respond_seconds_count" + labels + " 1"));
    EXPECT_THAT(text, Not(HasSubstr("attnd_request_queue_seconds_count" + labels)));
    EXPECT_THAT(text, Not(HasSubstr("attnd_request_compute_seconds_count" + labels)));
  }
}

TEST(MetricsTest, BatchesAndModels) {
  Metrics metrics;
  const ModelLabels labels{"minilm", "BertModel", "f32", "avx2"};
  metrics.ShowModel(labels);
  metrics.Model("minilm").Observe({.sequences = 3, .tokens = 130, .compute = absl::Milliseconds(1)});
  metrics.ObserveAttention("dense", 4096, absl::Microseconds(200));
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("attnd_model_info{architecture=\"BertModel\",cpu_path=\"avx2\",model=\"minilm\","
                              "precision=\"f32\"} 1"));
  EXPECT_THAT(text, HasSubstr("attnd_batch_tokens_sum{model=\"minilm\"} 130"));
  EXPECT_THAT(text, HasSubstr("attnd_batch_sequences_sum{model=\"minilm\"} 3"));
  EXPECT_THAT(text, HasSubstr("attnd_tokens_total{model=\"minilm\"} 130"));
  EXPECT_THAT(text, HasSubstr("attnd_attention_bytes_total{layout=\"dense\"} 4096"));
  EXPECT_THAT(text, HasSubstr("attnd_attention_seconds_count 1"));

  metrics.Generation("minilm").Observe({.sequences = 1, .tokens = 6, .drafted_tokens = 8, .accepted_tokens = 5});
  EXPECT_THAT(metrics.Text(), HasSubstr("attnd_generation_drafted_tokens_total{model=\"minilm\"} 8"));
  EXPECT_THAT(metrics.Text(), HasSubstr("attnd_generation_accepted_draft_tokens_total{model=\"minilm\"} 5"));

  // An unloaded model keeps its counters and is served no longer; loaded again, it goes on counting.
  metrics.HideModel(labels);
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("attnd_model_info{")));
  metrics.Model("minilm").Observe({.sequences = 1, .tokens = 20});
  EXPECT_THAT(metrics.Text(), HasSubstr("attnd_tokens_total{model=\"minilm\"} 150"));
}

// What Prometheus's own linter says of a scrape with every family in it.
TEST(MetricsTest, PromtoolIsSilent) {
  auto metrics = std::make_unique<Metrics>();
  metrics->ShowModel({"minilm", "BertModel", "f32", "avx2"});
  metrics->Model("minilm").Observe({.sequences = 3, .tokens = 130, .compute = absl::Milliseconds(1)});
  Batcher batcher;
  WorkTeam team(1);
  GenerationThreads threads;
  const ModelRegistry models(ModelLoader({}, {}, 1, team, threads, *metrics).Operator());
  const MemoryBudget budget(1000);
  auto queues = std::make_shared<ServingMetrics>(batcher, models, budget, [] { return int64_t{7}; });
  auto exposer =
      MetricsExposer::Start("127.0.0.1:0", {metrics->registry(), std::make_shared<ProcessMetrics>(), queues});
  ASSERT_TRUE(exposer.ok()) << exposer.status();
  const std::string text = HttpGet((*exposer)->address(), "/metrics");
  for (const char* family : {"grpc_server_started_total",
                             "grpc_server_handled_total",
                             "grpc_server_handling_seconds",
                             "grpc_server_msg_received_total",
                             "grpc_server_msg_sent_total",
                             "attnd_request_validate_seconds",
                             "attnd_request_tokenise_seconds",
                             "attnd_request_queue_seconds",
                             "attnd_request_compute_seconds",
                             "attnd_request_respond_seconds",
                             "attnd_batch_tokens",
                             "attnd_batch_sequences",
                             "attnd_queue_tokens",
                             "attnd_queue_requests",
                             "attnd_queue_oldest_seconds",
                             "attnd_connections",
                             "attnd_attention_memory_bytes",
                             "attnd_attention_memory_limit_bytes",
                             "attnd_rejected_total",
                             "attnd_attention_bytes_total",
                             "attnd_attention_seconds",
                             "attnd_model_info",
                             "attnd_build_info",
                             "attnd_tokens_total",
                             "process_cpu_seconds_total",
                             "process_resident_memory_bytes",
                             "process_virtual_memory_bytes",
                             "process_open_fds",
                             "process_max_fds",
                             "process_threads",
                             "process_start_time_seconds"}) {
    EXPECT_THAT(text, HasSubstr(std::string("# TYPE ") + family + " "));
  }
  EXPECT_THAT(text, HasSubstr("attnd_connections 7"));
  const std::string path = TempPath("scrape.txt");
  std::ofstream(path) << text;
  FILE* promtool = popen(("promtool check metrics < " + path + " 2>&1").c_str(), "r");
  ASSERT_NE(promtool, nullptr);
  std::string said;
  char buffer[1024];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), promtool)) said.append(buffer, n);
  EXPECT_EQ(pclose(promtool), 0);
  EXPECT_EQ(said, "");
}

TEST(MetricsTest, ProcessMetricsAreReal) {
  double resident = 0, descriptors = 0, started = 0, cpu = -1;
  for (const prometheus::MetricFamily& family : ProcessMetrics().Collect()) {
    if (family.name == "process_resident_memory_bytes") resident = family.metric[0].gauge.value;
    if (family.name == "process_open_fds") descriptors = family.metric[0].gauge.value;
    if (family.name == "process_start_time_seconds") started = family.metric[0].gauge.value;
    if (family.name == "process_cpu_seconds_total") cpu = family.metric[0].counter.value;
  }
  EXPECT_GT(resident, 1e6);
  EXPECT_GE(descriptors, 3);
  EXPECT_NEAR(started, absl::ToUnixSeconds(absl::Now()), 600);
  EXPECT_GE(cpu, 0);
}

TEST(MetricsTest, ThePortInUseIsNamed) {
  auto first = MetricsExposer::Start("127.0.0.1:0", {});
  ASSERT_TRUE(first.ok());
  const auto second = MetricsExposer::Start((*first)->address(), {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr((*first)->address()));
  EXPECT_EQ(MetricsExposer::Start("nonsense", {}).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace attnd
