// Metrics: every family attnd exports, and the pointers that the hot path increments.
#ifndef ATTND_SERVER_OPS_METRICS_H_
#define ATTND_SERVER_OPS_METRICS_H_

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/engine/generator.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "server/batching/executor.h"

namespace attnd {

// Where the time of a request went. The one record behind the response's timings, the metrics and the access log.
struct StageTimes {
  absl::Duration validate;
  absl::Duration tokenise;
  absl::Duration queue;
  absl::Duration compute;
  absl::Duration respond;

  StageTimes& operator+=(const StageTimes& other);
};

// The series of one gRPC method. Constant after construction; the metrics themselves are thread-safe.
struct MethodMetrics {
  std::string service;    // "attnd.v1.Attnd"
  std::string method;     // "Embed"
  std::string full_name;  // "attnd.v1.Attnd/Embed"
  prometheus::Counter* started = nullptr;
  prometheus::Counter* received = nullptr;
  prometheus::Counter* sent = nullptr;
  prometheus::Histogram* handling = nullptr;
  std::array<prometheus::Counter*, 17> handled = {};  // by grpc::StatusCode
  std::array<prometheus::Histogram*, 5> stages = {};  // in the order of StageTimes; null for those it does not have
};

// The series of one model's batches.
struct ModelMetrics {
  prometheus::Histogram* batch_tokens = nullptr;
  prometheus::Histogram* batch_sequences = nullptr;
  prometheus::Counter* tokens = nullptr;

  void Observe(const BatchReport& report) const;
};

// The series of one decoder.
struct GenerationMetrics {
  prometheus::Histogram* first_token = nullptr;  // seconds from the call's arrival to its first token
  prometheus::Histogram* token_latency =
      nullptr;  // seconds from a token of an answer to the next, of those of one step an equal part
  prometheus::Counter* prompt_tokens = nullptr;
  prometheus::Counter* generated_tokens = nullptr;
  prometheus::Counter* drafted_tokens = nullptr;  // tried beyond the next one
  prometheus::Counter* accepted_draft_tokens = nullptr;
  prometheus::Counter* prefix_queries = nullptr;
  prometheus::Counter* prefix_hits = nullptr;
  prometheus::Counter* preemptions = nullptr;
  std::array<prometheus::Counter*, 4> finished = {};  // by FinishReason

  void Observe(const GeneratorStep& step) const;
};

// What attnd_model_info says of a model.
struct ModelLabels {
  std::string name, architecture, precision, cpu_path;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // The series of a method of attnd.v1.Attnd or inference.GRPCInferenceService; any other name is the one method
  // "unknown".
  const MethodMetrics& Method(absl::string_view service, absl::string_view method) const;
  // The series of a model, made at the first call with its name; they stay when the model is unloaded, as counters
  // must.
  const ModelMetrics& Model(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);
  const GenerationMetrics& Generation(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);
  // attnd_model_info of a model that is served from now on, or no longer.
  void ShowModel(const ModelLabels& labels);
  void HideModel(const ModelLabels& labels);

  void ObserveStages(const MethodMetrics& method, const StageTimes& times);
  void Rejected(absl::string_view reason);
  // Maps or statistics of one call: bytes sent by layout ("dense", "top_k", "statistics") and the time spent on them.
  void ObserveAttention(absl::string_view layout, int64_t bytes, absl::Duration time);

  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }
  // The whole exposition as text, as a scrape of the registry sees it.
  std::string Text() const;

  static const std::vector<double>& LatencyBuckets();  // seconds, from 100 us

 private:
  void AddMethod(MethodMetrics& entry, const std::string& service, const std::string& method, bool client_streams,
                 bool server_streams);

  struct Families;
  const std::shared_ptr<prometheus::Registry> registry_;
  const std::unique_ptr<Families> families_;
  std::map<std::pair<std::string, std::string>, MethodMetrics, std::less<>> methods_;
  MethodMetrics unknown_;
  absl::Mutex mutex_;
  std::map<std::string, ModelMetrics> models_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, GenerationMetrics> generations_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_METRICS_H_
