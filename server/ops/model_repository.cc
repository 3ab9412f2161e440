#include "server/ops/model_repository.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

// Tasks that may wait: beyond, somebody is asking in a loop.
constexpr size_t kMaxTasks = 64;

ModelLabels LabelsOf(const ServedModel& model) {
  return {model.name, model.architecture(), model.precision_name(), model.cpu_path()};
}

}  // namespace

ModelRepository::ModelRepository(std::string folder, Precision precision, const ModelLoader& loader,
                                 ModelRegistry& registry, Metrics& metrics, Log& log)
    : folder_(std::move(folder)),
      precision_(precision),
      loader_(loader),
      registry_(registry),
      metrics_(metrics),
      log_(log) {}

ModelRepository::~ModelRepository() { Stop(); }

absl::Status ModelRepository::LoadAll(const std::vector<ModelSpec>& fixed) {
  std::vector<ModelSpec> specs = fixed;
  for (const ModelSpec& spec : fixed) fixed_.push_back(spec.name);
  if (!folder_.empty()) {
    std::error_code error;
    if (!std::filesystem::is_directory(folder_, error)) {
      return absl::NotFoundError(absl::StrCat("--model-repository: ", folder_, " is not a folder"));
    }
    for (const std::string& name : Folders()) {
      if (std::find(fixed_.begin(), fixed_.end(), name) != fixed_.end()) {
        return absl::InvalidArgumentError(
            absl::StrCat("--model-repository: the folder ", name, " has the name of a --model: give that another one"));
      }
      if (absl::Status status = Check(name); !status.ok()) {
        SetReason(name, std::string(status.message()));
      } else {
        specs.push_back(SpecOf(name));
      }
    }
  }
  std::vector<absl::StatusOr<ServedModelPtr>> loaded = loader_.LoadAll(specs);
  for (size_t i = 0; i < specs.size(); ++i) {
    if (loaded[i].ok()) {
      Publish(*std::move(loaded[i]));
      continue;
    }
    const absl::Status status = loaded[i].status();
    if (i < fixed.size()) {
      return absl::Status(status.code(), absl::StrCat("model ", specs[i].name, ": ", status.message()));
    }
    SetReason(specs[i].name, std::string(status.message()));
  }
  return absl::OkStatus();
}

void ModelRepository::Start(Listener listener) {
  listener_ = std::move(listener);
  thread_ = std::thread([this] { Work(); });
}

void ModelRepository::Stop() {
  std::deque<Task> dropped;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    dropped.swap(tasks_);
  }
  for (Task& task : dropped) std::move(task.done)(absl::UnavailableError("the server is shutting down"));
  if (thread_.joinable()) thread_.join();
}

void ModelRepository::Load(const std::string& name, Done done) { Enqueue({true, name, std::move(done)}); }
void ModelRepository::Unload(const std::string& name, Done done) { Enqueue({false, name, std::move(done)}); }

// What comes from the wire is a name and never a path: letters, digits and the like, and no dot at its begin.
absl::Status ModelRepository::Check(const std::string& name) const {
  if (std::find(fixed_.begin(), fixed_.end(), name) != fixed_.end()) {
    return absl::FailedPreconditionError(absl::StrCat("model ", name, " was given by --model: it stays as it is"));
  }
  if (name == registry_.attention()->name) {
    return absl::FailedPreconditionError("\"attention\" is the built-in operator: no model can have that name");
  }
  if (folder_.empty()) {
    return absl::FailedPreconditionError("the server has no model repository; start attnd with --model-repository DIR");
  }
  if (!IsModelName(name)) {
    return absl::InvalidArgumentError(
        "a model's name is 1 to 64 letters, digits, '-', '_' and '.', and begins with no dot");
  }
  return absl::OkStatus();
}

void ModelRepository::Enqueue(Task task) {
  absl::Status status = Check(task.name);
  if (status.ok()) {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      status = absl::UnavailableError("the server is shutting down");
    } else if (tasks_.size() >= kMaxTasks) {
      status =
          absl::ResourceExhaustedError(absl::StrCat(kMaxTasks, " models wait to be loaded or unloaded; try again"));
    } else {
      tasks_.push_back(std::move(task));
      return;
    }
  }
  std::move(task.done)(status);
}

void ModelRepository::Work() {
  for (;;) {
    Task task;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(
          absl::Condition(+[](ModelRepository* self) { return self->stopping_ || !self->tasks_.empty(); }, this));
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    std::move(task.done)(task.load ? LoadNow(task.name) : UnloadNow(task.name));
  }
}

absl::Status ModelRepository::LoadNow(const std::string& name) {
  std::error_code error;
  if (!std::filesystem::is_directory(SpecOf(name).folder, error)) {
    return absl::NotFoundError("the model repository has no folder of that name");
  }
  auto model = loader_.Load(SpecOf(name));
  if (!model.ok()) {
    log_.Warn("model not loaded", {{"name", name}, {"reason", std::string(model.status().message())}});
    // Where an older one is served, it goes on.
    SetReason(name, std::string(model.status().message()));
    return model.status();
  }
  Publish(*std::move(model));
  if (listener_) listener_(name, true);
  return absl::OkStatus();
}

absl::Status ModelRepository::UnloadNow(const std::string& name) {
  const ServedModelPtr removed = registry_.Remove(name);
  if (removed == nullptr) return absl::NotFoundError("no such model is loaded");
  if (listener_) listener_(name, false);
  metrics_.HideModel(LabelsOf(*removed));
  SetReason(name, "unloaded");
  log_.Info("model unloaded", {{"name", name}});
  return absl::OkStatus();
}

void ModelRepository::Publish(ServedModelPtr model) {
  const std::string name = model->name;
  const ModelShape shape = model->shape();
  const ModelLabels labels = LabelsOf(*model);
  log_.Info("model", {{"name", name},
                      {"architecture", labels.architecture},
                      {"precision", labels.precision},
                      {"cpu_path", labels.cpu_path},
                      {"layers", int64_t{shape.layers}},
                      {"heads", int64_t{shape.heads}},
                      {"dimensions", int64_t{shape.dimensions}},
                      {"max_tokens", int64_t{shape.max_tokens}},
                      {"weight_mib", static_cast<double>(shape.weight_bytes >> 20)}});
  const ServedModelPtr replaced = registry_.Put(std::move(model));
  if (replaced != nullptr) metrics_.HideModel(LabelsOf(*replaced));
  metrics_.ShowModel(labels);
  absl::MutexLock lock(&mutex_);
  reasons_.erase(name);
}

void ModelRepository::SetReason(const std::string& name, std::string reason) {
  absl::MutexLock lock(&mutex_);
  reasons_[name] = std::move(reason);
}

std::vector<ModelRepository::Entry> ModelRepository::Index() const {
  std::map<std::string, Entry> entries;
  const std::vector<std::string> folders = Folders();
  {
    absl::MutexLock lock(&mutex_);
    for (const std::string& name : folders) {
      const auto reason = reasons_.find(name);
      entries[name] = {name, false, reason == reasons_.end() ? "not loaded" : reason->second};
    }
  }
  for (const ServedModelPtr& model : registry_.models()) entries[model->name] = {model->name, true, ""};
  std::vector<Entry> result;
  for (auto& [name, entry] : entries) result.push_back(std::move(entry));
  return result;
}

ModelSpec ModelRepository::SpecOf(const std::string& name) const {
  return {.name = name, .folder = absl::StrCat(folder_, "/", name), .precision = precision_};
}

std::vector<std::string> ModelRepository::Folders() const {
  std::vector<std::string> names;
  if (folder_.empty()) return names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder_, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code of_entry;
    std::string name = entry->path().filename().string();
    // Names that could not go into a message, and what tools hide, are no models.
    const bool plain = !name.empty() && name[0] != '.' &&
                       std::all_of(name.begin(), name.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
    if (plain && entry->is_directory(of_entry)) names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace attnd
