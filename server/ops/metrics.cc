#include "server/ops/metrics.h"

#include <grpcpp/grpcpp.h>

#include "attnd/v1/attnd.pb.h"
#include "inference/grpc_service.pb.h"
#include "prometheus/text_serializer.h"
#include "server/ops/server_context.h"
#include "server/ops/status.h"

namespace attnd {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

// As Go's and Java's interceptors spell the codes, by number.
constexpr const char* kCodes[17] = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};
constexpr const char* kStages[5] = {"validate", "tokenise", "queue", "compute", "respond"};
constexpr size_t kQueueStage = 2, kComputeStage = 3;
constexpr const char* kStageHelp[5] = {"Time to check a request.", "Time to tokenise a request's texts.",
                                       "Time a request's texts waited for a worker.",
                                       "Time a request's texts were in the model.", "Time to build the response."};

// The methods that go through the stages; the others answer at once.
bool HasStages(absl::string_view method) {
  for (absl::string_view staged :
       {"Embed", "EmbedStream", "Classify", "Rerank", "TokenClassify", "FillMask", "Attend", "EstimateAttention",
        "ComputeAttention", "Tokenize", "Detokenize", "Generate", "Chat", "Score", "ModelInfer", "ModelStreamInfer"}) {
    if (method == staged) return true;
  }
  return false;
}

// Of those the ones that answer without a queue or a model: zeros of theirs would hide how long the others wait.
bool Queues(absl::string_view method) {
  return method != "Tokenize" && method != "Detokenize" && method != "EstimateAttention";
}

const std::vector<double>& TokenBuckets() {
  static const auto& buckets = *new std::vector<double>{8,   16,  32,  64,   128,  192,  256,  384,  512,
                                                        640, 768, 896, 1024, 1536, 2048, 4096, 8192, 16384};
  return buckets;
}
const std::vector<double>& SequenceBuckets() {
  static const auto& buckets = *new std::vector<double>{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512};
  return buckets;
}

// Answers may wait long for their turn.
std::vector<double> FirstTokenBuckets() {
  std::vector<double> buckets = Metrics::LatencyBuckets();
  buckets.insert(buckets.end(), {10, 20, 40, 80, 160});
  return buckets;
}

prometheus::Labels InfoLabels(const ModelLabels& labels) {
  return {{"model", labels.name},
          {"architecture", labels.architecture},
          {"precision", labels.precision},
          {"cpu_path", labels.cpu_path}};
}

}  // namespace

struct Metrics::Families {
  explicit Families(prometheus::Registry& r)
      : started(BuildCounter().Name("grpc_server_started_total").Help("Calls started.").Register(r)),
        handled(BuildCounter().Name("grpc_server_handled_total").Help("Calls finished, by code.").Register(r)),
        received(BuildCounter().Name("grpc_server_msg_received_total").Help("Messages received.").Register(r)),
        sent(BuildCounter().Name("grpc_server_msg_sent_total").Help("Messages sent.").Register(r)),
        handling(
            BuildHistogram().Name("grpc_server_handling_seconds").Help("From a call's start to its end.").Register(r)),
        batch_tokens(BuildHistogram().Name("attnd_batch_tokens").Help("Tokens of a batch.").Register(r)),
        batch_sequences(BuildHistogram().Name("attnd_batch_sequences").Help("Texts of a batch.").Register(r)),
        tokens(BuildCounter().Name("attnd_tokens_total").Help("Tokens that went through a model.").Register(r)),
        rejected(
            BuildCounter().Name("attnd_rejected_total").Help("Calls and stream items refused, by reason.").Register(r)),
        first_token(BuildHistogram()
                        .Name("attnd_time_to_first_token_seconds")
                        .Help("From the arrival of a call to its first token.")
                        .Register(r)),
        token_latency(BuildHistogram()
                          .Name("attnd_inter_token_latency_seconds")
                          .Help("From a token of an answer to the next; of tokens of one step each an equal part.")
                          .Register(r)),
        prompt_tokens(
            BuildCounter().Name("attnd_prompt_tokens_total").Help("Tokens of prompts that were computed.").Register(r)),
        generated_tokens(BuildCounter().Name("attnd_generation_tokens_total").Help("Tokens of answers.").Register(r)),
        drafted_tokens(BuildCounter()
                           .Name("attnd_generation_drafted_tokens_total")
                           .Help("Tokens tried beyond the next one of an answer.")
                           .Register(r)),
        accepted_draft_tokens(BuildCounter()
                                  .Name("attnd_generation_accepted_draft_tokens_total")
                                  .Help("Of them those that were right: each saved a step.")
                                  .Register(r)),
        prefix_queries(BuildCounter()
                           .Name("attnd_prefix_cache_queries_total")
                           .Help("Tokens that were looked for among the stored ones.")
                           .Register(r)),
        prefix_hits(BuildCounter()
                        .Name("attnd_prefix_cache_hits_total")
                        .Help("Of them those that were found, and not computed again.")
                        .Register(r)),
        preemptions(BuildCounter()
                        .Name("attnd_preemptions_total")
                        .Help("Sequences that gave their pages back, to be computed again.")
                        .Register(r)),
        finished(BuildCounter()
                     .Name("attnd_generations_finished_total")
                     .Help("Answers at their end, by reason.")
                     .Register(r)),
        attention_bytes(BuildCounter()
                            .Name("attnd_attention_bytes_total")
                            .Help("Bytes of attention maps and statistics made, by layout.")
                            .Register(r)),
        attention_seconds(BuildHistogram()
                              .Name("attnd_attention_seconds")
                              .Help("Time a call spent on keeping and encoding attention.")
                              .Register(r)),
        model_info(BuildGauge().Name("attnd_model_info").Help("1 for each model served.").Register(r)),
        build_info(BuildGauge().Name("attnd_build_info").Help("1, with the build's versions.").Register(r)) {
    for (int i = 0; i < 5; ++i) {
      const std::string name = std::string("attnd_request_") + kStages[i] + "_seconds";
      stages[i] = &BuildHistogram().Name(name).Help(kStageHelp[i]).Register(r);
    }
    for (const char* layout : {"dense", "top_k", "statistics"}) attention_bytes.Add({{"layout", layout}});
    for (absl::string_view reason : RejectionReasons()) {
      rejected.Add({{"reason", std::string(reason)}});
    }
    attention = &attention_seconds.Add({}, LatencyBuckets());
    build_info
        .Add({{"version", std::string(kServerVersion)}, {"grpc", grpc::Version()}, {"compiler", "gcc " __VERSION__}})
        .Set(1);
  }

  Family<Counter>&started, &handled, &received, &sent;
  Family<Histogram>& handling;
  Family<Histogram>&batch_tokens, &batch_sequences;
  Family<Counter>&tokens, &rejected;
  Family<Histogram>&first_token, &token_latency;
  Family<Counter>&prompt_tokens, &generated_tokens, &drafted_tokens, &accepted_draft_tokens, &prefix_queries,
      &prefix_hits, &preemptions, &finished;
  Family<Counter>& attention_bytes;
  Family<Histogram>& attention_seconds;
  Family<Gauge>&model_info, &build_info;
  std::array<Family<Histogram>*, 5> stages;
  Histogram* attention;
};

StageTimes& StageTimes::operator+=(const StageTimes& other) {
  validate += other.validate;
  tokenise += other.tokenise;
  queue += other.queue;
  compute += other.compute;
  respond += other.respond;
  return *this;
}

void ModelMetrics::Observe(const BatchReport& report) const {
  batch_tokens->Observe(static_cast<double>(report.tokens));
  batch_sequences->Observe(static_cast<double>(report.sequences));
  tokens->Increment(static_cast<double>(report.tokens));
}

void GenerationMetrics::Observe(const GeneratorStep& step) const {
  prompt_tokens->Increment(step.prompt_tokens);
  generated_tokens->Increment(step.generated_tokens);
  drafted_tokens->Increment(step.drafted_tokens);
  accepted_draft_tokens->Increment(step.accepted_tokens);
  prefix_queries->Increment(static_cast<double>(step.prefix_queries));
  prefix_hits->Increment(static_cast<double>(step.prefix_hits));
  preemptions->Increment(static_cast<double>(step.preemptions));
}

const std::vector<double>& Metrics::LatencyBuckets() {
  static const auto& buckets =
      *new std::vector<double>{0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01,
                               0.013,  0.016,   0.02,   0.025, 0.03,  0.04,  0.05,  0.065, 0.08,  0.1,   0.13,
                               0.16,   0.2,     0.25,   0.3,   0.4,   0.5,   0.65,  0.8,   1,     2,     5};
  return buckets;
}

Metrics::Metrics()
    : registry_(std::make_shared<prometheus::Registry>()), families_(std::make_unique<Families>(*registry_)) {
  for (const auto* file :
       {v1::EmbedRequest::descriptor()->file(), inference::ModelInferRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const auto* service = file->service(s);
      for (int m = 0; m < service->method_count(); ++m) {
        const auto* method = service->method(m);
        AddMethod(methods_[{service->full_name(), method->name()}], service->full_name(), method->name(),
                  method->client_streaming(), method->server_streaming());
      }
    }
  }
  AddMethod(unknown_, "unknown", "unknown", false, false);
}

Metrics::~Metrics() = default;

void Metrics::AddMethod(MethodMetrics& entry, const std::string& service, const std::string& method,
                        bool client_streams, bool server_streams) {
  entry.service = service;
  entry.method = method;
  entry.full_name = service + "/" + method;
  const char* type = client_streams ? (server_streams ? "bidi_stream" : "client_stream")
                                    : (server_streams ? "server_stream" : "unary");
  prometheus::Labels labels = {{"grpc_type", type}, {"grpc_service", service}, {"grpc_method", method}};
  entry.started = &families_->started.Add(labels);
  entry.received = &families_->received.Add(labels);
  entry.sent = &families_->sent.Add(labels);
  entry.handling = &families_->handling.Add(labels, LatencyBuckets());
  for (size_t code = 0; code < entry.handled.size(); ++code) {
    labels["grpc_code"] = kCodes[code];
    entry.handled[code] = &families_->handled.Add(labels);
  }
  if (!HasStages(method)) return;
  for (size_t i = 0; i < entry.stages.size(); ++i) {
    if ((i == kQueueStage || i == kComputeStage) && !Queues(method)) continue;
    entry.stages[i] = &families_->stages[i]->Add({{"method", method}}, LatencyBuckets());
  }
}

const MethodMetrics& Metrics::Method(absl::string_view service, absl::string_view method) const {
  const auto found = methods_.find({std::string(service), std::string(method)});
  return found == methods_.end() ? unknown_ : found->second;
}

const ModelMetrics& Metrics::Model(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  auto [entry, added] = models_.try_emplace(name);
  if (added) {
    entry->second = {.batch_tokens = &families_->batch_tokens.Add({{"model", name}}, TokenBuckets()),
                     .batch_sequences = &families_->batch_sequences.Add({{"model", name}}, SequenceBuckets()),
                     .tokens = &families_->tokens.Add({{"model", name}})};
  }
  return entry->second;
}

const GenerationMetrics& Metrics::Generation(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  auto [entry, added] = generations_.try_emplace(name);
  if (!added) return entry->second;
  const prometheus::Labels labels = {{"model", name}};
  GenerationMetrics& series = entry->second;
  series = {.first_token = &families_->first_token.Add(labels, FirstTokenBuckets()),
            .token_latency = &families_->token_latency.Add(labels, LatencyBuckets()),
            .prompt_tokens = &families_->prompt_tokens.Add(labels),
            .generated_tokens = &families_->generated_tokens.Add(labels),
            .drafted_tokens = &families_->drafted_tokens.Add(labels),
            .accepted_draft_tokens = &families_->accepted_draft_tokens.Add(labels),
            .prefix_queries = &families_->prefix_queries.Add(labels),
            .prefix_hits = &families_->prefix_hits.Add(labels),
            .preemptions = &families_->preemptions.Add(labels)};
  for (size_t reason = 0; reason < series.finished.size(); ++reason) {
    const std::string text(FinishReasonName(static_cast<FinishReason>(reason)));
    series.finished[reason] = &families_->finished.Add({{"model", name}, {"reason", text}});
  }
  return series;
}

void Metrics::ShowModel(const ModelLabels& labels) { families_->model_info.Add(InfoLabels(labels)).Set(1); }

void Metrics::HideModel(const ModelLabels& labels) {
  families_->model_info.Remove(&families_->model_info.Add(InfoLabels(labels)));
}

void Metrics::ObserveStages(const MethodMetrics& method, const StageTimes& times) {
  const absl::Duration values[5] = {times.validate, times.tokenise, times.queue, times.compute, times.respond};
  for (int i = 0; i < 5; ++i) {
    if (method.stages[i] != nullptr) method.stages[i]->Observe(absl::ToDoubleSeconds(values[i]));
  }
}

void Metrics::Rejected(absl::string_view reason) {
  families_->rejected.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::ObserveAttention(absl::string_view layout, int64_t bytes, absl::Duration time) {
  families_->attention_bytes.Add({{"layout", std::string(layout)}}).Increment(static_cast<double>(bytes));
  families_->attention->Observe(absl::ToDoubleSeconds(time));
}

std::string Metrics::Text() const { return prometheus::TextSerializer().Serialize(registry_->Collect()); }

}  // namespace attnd
