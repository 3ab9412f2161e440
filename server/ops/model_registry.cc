#include "server/ops/model_registry.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attnd {

void ModelCounters::Add(bool ok, absl::Duration total, const StageTimes& times, absl::Time now) {
  const auto add = [](std::atomic<uint64_t>& sum, absl::Duration duration) {
    sum.fetch_add(static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration))),
                  std::memory_order_relaxed);
  };
  last_unix_ms.store(absl::ToUnixMillis(now), std::memory_order_relaxed);
  if (!ok) {
    failed.fetch_add(1, std::memory_order_relaxed);
    add(failed_ns, total);
    return;
  }
  succeeded.fetch_add(1, std::memory_order_relaxed);
  add(succeeded_ns, total);
  add(queue_ns, times.queue);
  add(input_ns, times.validate + times.tokenise);
  add(compute_ns, times.compute);
  add(output_ns, times.respond);
}

absl::StatusOr<std::unique_ptr<ModelRegistry>> ModelRegistry::Load(const std::vector<ModelSpec>& specs) {
  std::vector<absl::StatusOr<std::unique_ptr<Model>>> loaded(specs.size());
  std::vector<std::thread> threads;
  threads.reserve(specs.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    threads.emplace_back([&, i] { loaded[i] = Model::Load(specs[i].folder); });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<ServedModel> models(specs.size());
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!loaded[i].ok()) {
      return absl::Status(loaded[i].status().code(),
                          absl::StrCat("model ", specs[i].name, ": ", loaded[i].status().message()));
    }
    models[i].name = specs[i].name;
    models[i].precision = specs[i].precision;
    models[i].model = *std::move(loaded[i]);
  }
  return std::make_unique<ModelRegistry>(std::move(models));
}

ModelRegistry::ModelRegistry(std::vector<ServedModel> models) : models_(std::move(models)) {
  for (size_t i = 0; i < models_.size(); ++i) models_[i].index = static_cast<int>(i);
  attention_.name = "attention";
  attention_.precision = "f32";
  attention_.index = static_cast<int>(models_.size());
}

const ServedModel* ModelRegistry::Find(absl::string_view name) const {
  for (const ServedModel& model : models_) {
    if (model.name == name) return &model;
  }
  return name == attention_.name ? &attention_ : nullptr;
}

absl::StatusOr<const ServedModel*> ModelRegistry::Resolve(absl::string_view name) const {
  if (name.empty() && models_.size() == 1) return &models_[0];
  const ServedModel* found = Find(name);
  if (found != nullptr && found->model != nullptr) return found;
  if (found != nullptr) {
    return absl::InvalidArgumentError("\"attention\" is the built-in operator: call ComputeAttention or ModelInfer");
  }
  if (models_.empty()) return absl::NotFoundError("no model is served; start attnd with --model NAME=DIR");
  std::string known;
  for (const ServedModel& model : models_) {
    if (known.size() > 300) {
      absl::StrAppend(&known, ", ...");
      break;
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", model.name);
  }
  if (name.empty()) return absl::InvalidArgumentError(absl::StrCat("name one of the models served: ", known));
  // The name itself is the caller's text and is not repeated.
  return absl::NotFoundError(absl::StrCat("no such model; served are: ", known));
}

}  // namespace attnd
