// ModelRegistry: the models this server serves at this moment, by name.
#ifndef ATTND_SERVER_OPS_MODEL_REGISTRY_H_
#define ATTND_SERVER_OPS_MODEL_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "core/model/model.h"
#include "server/batching/executor.h"
#include "server/batching/generation_runner.h"
#include "server/batching/model_queue.h"
#include "server/ops/metrics.h"

namespace attnd {

// Batches of one size.
struct BatchSum {
  uint64_t batches = 0;
  uint64_t compute_ns = 0;
};

// Sums that ModelStatistics reports. Thread-safe; the fields are read one by one, not as a snapshot.
struct ModelCounters {
  std::atomic<uint64_t> succeeded{0}, succeeded_ns{0};  // calls
  std::atomic<uint64_t> failed{0}, failed_ns{0};        // calls
  std::atomic<uint64_t> queue_ns{0};                    // of the calls that succeeded
  std::atomic<uint64_t> input_ns{0};                    // validate and tokenise
  std::atomic<uint64_t> compute_ns{0};
  std::atomic<uint64_t> output_ns{0};    // respond
  std::atomic<uint64_t> sequences{0};    // inferences: texts, or a decoder's answers, once each
  std::atomic<uint64_t> batches{0};      // executions: a decoder's are its steps, each a pass through the model
  std::atomic<int64_t> last_unix_ms{0};  // of the last call

  void Add(bool ok, absl::Duration total, const StageTimes& times, absl::Time now);
  void AddBatch(const BatchReport& report) ABSL_LOCKS_EXCLUDED(mutex);
  // By number of sequences.
  std::map<int64_t, BatchSum> BatchSums() const ABSL_LOCKS_EXCLUDED(mutex);

  mutable absl::Mutex mutex;
  std::map<int64_t, BatchSum> batch_sums ABSL_GUARDED_BY(mutex);
};

// What encoders and decoders have alike.
struct ModelShape {
  int layers = 0, heads = 0;
  int dimensions = 0;  // of hidden states
  int max_tokens = 0;  // of a text; of a decoder: its context
  int vocabulary = 0;
  int64_t weight_bytes = 0;  // in memory
};

// Immutable but for its counters, its queue and its generator. A call holds it from its start to its end, so that an
// unloaded model goes when its last call has gone.
struct ServedModel {
  std::string name;
  Precision precision = Precision::kF32;
  std::shared_ptr<const Model> model;         // an encoder, or null
  std::shared_ptr<GenerationRunner> decoder;  // or this, or null; both null: the operator, whose queue holds TaskItems
  std::shared_ptr<ModelQueue> queue;          // null for decoders
  std::shared_ptr<ModelCounters> counters = std::make_shared<ModelCounters>();

  bool is_operator() const { return model == nullptr && decoder == nullptr; }
  bool is_decoder() const { return decoder != nullptr; }
  const Tokenizer& tokenizer() const;  // not of the operator, nor are the next ones
  ModelShape shape() const;
  const EmbeddingConfig& embedding() const;
  // What it was trained to answer: "embed", "classify", "rerank", "token-classify", "fill-mask", "generate".
  absl::string_view task() const;

  // "BertModel"; a decoder's model_type: "llama"; "operator" for the built-in one.
  std::string architecture() const;
  std::string precision_name() const { return std::string(PrecisionName(precision)); }
  // The instructions in use: "avx2", "avx512"; where weights are not f32 with what they are multiplied by:
  // "avx2 (f32 x bf16)".
  std::string cpu_path() const;
};
using ServedModelPtr = std::shared_ptr<const ServedModel>;

// Thread-safe; no lock is held but for looking up.
class ModelRegistry {
 public:
  // `attention`: the operator softmax(Q K^T / sqrt(d_k)) V, always there.
  explicit ModelRegistry(ServedModelPtr attention) : attention_(std::move(attention)) {}

  // Serves `model` from now on; the result is the one of the same name that it replaced, or null.
  ServedModelPtr Put(ServedModelPtr model) ABSL_LOCKS_EXCLUDED(mutex_);
  // Serves it no longer: calls that have it finish. Null when there was none.
  ServedModelPtr Remove(absl::string_view name) ABSL_LOCKS_EXCLUDED(mutex_);

  // Null when unknown. Knows the built-in "attention", too.
  ServedModelPtr Find(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mutex_);
  // For calls that need a real model: kNotFound listing what there is; an empty name is fine where one model is served.
  absl::StatusOr<ServedModelPtr> Resolve(absl::string_view name) const ABSL_LOCKS_EXCLUDED(mutex_);
  // In the order in which their names were first put; without the built-in operator.
  std::vector<ServedModelPtr> models() const ABSL_LOCKS_EXCLUDED(mutex_);
  const ServedModelPtr& attention() const { return attention_; }
  // "a, b, c", bounded in length, for errors.
  std::string Names() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const ServedModelPtr attention_;
  mutable absl::Mutex mutex_;
  std::vector<ServedModelPtr> models_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_MODEL_REGISTRY_H_
