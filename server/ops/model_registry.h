// ModelRegistry: the models this server serves, by name.
#ifndef ATTND_SERVER_OPS_MODEL_REGISTRY_H_
#define ATTND_SERVER_OPS_MODEL_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model/model.h"
#include "server/ops/config.h"
#include "server/ops/metrics.h"

namespace attnd {

// Sums that ModelStatistics reports. Thread-safe; the fields are read one by one, not as a snapshot.
struct ModelCounters {
  std::atomic<uint64_t> succeeded{0}, succeeded_ns{0};  // calls
  std::atomic<uint64_t> failed{0}, failed_ns{0};        // calls
  std::atomic<uint64_t> queue_ns{0};                    // of the calls that succeeded
  std::atomic<uint64_t> input_ns{0};                    // validate and tokenise
  std::atomic<uint64_t> compute_ns{0};
  std::atomic<uint64_t> output_ns{0};    // respond
  std::atomic<uint64_t> sequences{0};    // inferences
  std::atomic<uint64_t> batches{0};      // executions
  std::atomic<int64_t> last_unix_ms{0};  // of the last call

  void Add(bool ok, absl::Duration total, const StageTimes& times, absl::Time now);
};

struct ServedModel {
  std::string name;
  int index = 0;                 // of its queue in the Batcher and its series in Metrics
  std::unique_ptr<Model> model;  // null for the built-in operator
  std::string precision;         // "f32"
  std::unique_ptr<ModelCounters> counters = std::make_unique<ModelCounters>();
};

// Immutable after construction but for the counters.
class ModelRegistry {
 public:
  // Loads all models, in parallel. The first error of the list: it names the model, the file and the fault.
  static absl::StatusOr<std::unique_ptr<ModelRegistry>> Load(const std::vector<ModelSpec>& specs);
  // For tests: models that are already there.
  explicit ModelRegistry(std::vector<ServedModel> models);

  // Null when unknown. Knows the built-in "attention", too, unless a model took the name.
  const ServedModel* Find(absl::string_view name) const;
  // For calls that need a real model: kNotFound listing what there is; an empty name is fine where one model is served.
  absl::StatusOr<const ServedModel*> Resolve(absl::string_view name) const;
  const std::vector<ServedModel>& models() const { return models_; }  // without the built-in operator
  // The operator softmax(Q K^T / sqrt(d_k)) V: name "attention", index models().size(); its queue holds TaskItems.
  const ServedModel& attention() const { return attention_; }

 private:
  std::vector<ServedModel> models_;  // in the order of the configuration
  ServedModel attention_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_MODEL_REGISTRY_H_
