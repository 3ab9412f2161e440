#include "server/ops/model_loader.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace attnd {

absl::StatusOr<ServedModelPtr> ModelLoader::Load(const ModelSpec& spec) const {
  auto model = Model::Load(spec.folder, spec.precision);
  if (model.status().code() == absl::StatusCode::kUnimplemented) {  // an architecture that nobody knows
    return absl::UnimplementedError(absl::StrCat(spec.folder, "/config.json: ", model.status().message()));
  }
  if (!model.ok()) return model.status();
  return Serve(spec, *std::move(model));
}

std::vector<absl::StatusOr<ServedModelPtr>> ModelLoader::LoadAll(const std::vector<ModelSpec>& specs) const {
  std::vector<absl::StatusOr<ServedModelPtr>> loaded(specs.size(), absl::UnknownError("not loaded"));
  std::atomic<size_t> next{0};
  const auto load = [&] {
    for (size_t i = next.fetch_add(1); i < specs.size(); i = next.fetch_add(1)) loaded[i] = Load(specs[i]);
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < std::min(specs.size(), static_cast<size_t>(workers_)); ++i) threads.emplace_back(load);
  load();
  for (std::thread& thread : threads) thread.join();
  return loaded;
}

ServedModelPtr ModelLoader::Operator() const { return Serve({.name = "attention"}, nullptr); }

ServedModelPtr ModelLoader::Serve(const ModelSpec& spec, std::shared_ptr<const Model> model) const {
  auto served = std::make_shared<ServedModel>();
  served->name = spec.name;
  served->precision = spec.precision;
  served->model = std::move(model);
  // The executors go with the queue, whose batches a worker may still hold when the model itself has gone.
  const std::shared_ptr<ModelCounters> counters = served->counters;
  const BatchObserver observe = [counters, &series = metrics_.Model(spec.name)](const BatchReport& report) {
    series.Observe(report);
    counters->AddBatch(report);
  };
  std::vector<std::unique_ptr<Executor>> executors;
  for (int i = 0; i < workers_; ++i) {
    if (served->model == nullptr) {
      executors.push_back(std::make_unique<TaskExecutor>(team_, absl::Now, observe));
    } else {
      executors.push_back(std::make_unique<EngineExecutor>(served->model, team_, absl::Now, observe));
    }
  }
  served->queue = std::make_shared<ModelQueue>(queue_, std::move(executors));
  return served;
}

}  // namespace attnd
