// ModelLoader: from a folder or file to a model that can be served.
#ifndef ATTND_SERVER_OPS_MODEL_LOADER_H_
#define ATTND_SERVER_OPS_MODEL_LOADER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/work_team.h"
#include "server/batching/batch_queue.h"
#include "server/ops/config.h"
#include "server/ops/metrics.h"
#include "server/ops/model_registry.h"

namespace attnd {

// Thread-safe. What it makes keeps the team, the threads and the metrics, which outlive it.
class ModelLoader {
 public:
  // `queue` and `generation`: of each model. `workers`: threads that will run batches.
  ModelLoader(const QueueOptions& queue, const GenerationConfig& generation, int workers, WorkTeam& team,
              GenerationThreads& threads, Metrics& metrics)
      : queue_(queue), generation_(generation), workers_(workers), team_(team), threads_(threads), metrics_(metrics) {}

  // Takes seconds for a large model. Errors name the file and the fault.
  absl::StatusOr<ServedModelPtr> Load(const ModelSpec& spec) const;
  // Several at a time; the results are in the order of `specs`.
  std::vector<absl::StatusOr<ServedModelPtr>> LoadAll(const std::vector<ModelSpec>& specs) const;
  // The built-in operator "attention".
  ServedModelPtr Operator() const;

 private:
  absl::StatusOr<ServedModelPtr> LoadDecoder(const ModelSpec& spec, const std::string& path) const;
  ServedModelPtr Serve(const ModelSpec& spec, std::shared_ptr<const Model> model) const;
  BatchObserver Observer(const ServedModel& served) const;

  const QueueOptions queue_;
  const GenerationConfig generation_;
  const int workers_;
  WorkTeam& team_;
  GenerationThreads& threads_;
  Metrics& metrics_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_MODEL_LOADER_H_
