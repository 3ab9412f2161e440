#include "server/ops/model_loader.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace attnd {

namespace {

// The one .gguf file of a folder without config.json; else the path itself, also where it is nothing at all.
absl::StatusOr<std::string> CheckpointPath(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error) || fs::exists(path + "/config.json", error)) return path;
  std::string found;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    const std::string file = entry->path().string();
    if (!absl::EndsWith(file, ".gguf")) continue;
    if (!found.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": holds several .gguf files; name one of them by --model"));
    }
    found = file;
  }
  return found.empty() ? path : found;
}

}  // namespace

absl::StatusOr<ServedModelPtr> ModelLoader::Load(const ModelSpec& spec) const {
  const auto path = CheckpointPath(spec.folder);
  if (!path.ok()) return path.status();
  if (IsDecoderPath(*path)) return LoadDecoder(spec, *path);
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

BatchObserver ModelLoader::Observer(const ServedModel& served) const {
  return [counters = served.counters, &series = metrics_.Model(served.name)](const BatchReport& report) {
    series.Observe(report);
    counters->AddBatch(report);
  };
}

absl::StatusOr<ServedModelPtr> ModelLoader::LoadDecoder(const ModelSpec& spec, const std::string& path) const {
  auto model = DecoderModel::Load(path, spec.precision);
  if (!model.ok()) return model.status();
  auto served = std::make_shared<ServedModel>();
  served->name = spec.name;
  served->precision = spec.precision;
  const KvType kv_type = spec.precision == Precision::kF32 ? KvType::kF32 : KvType::kBf16;
  GeneratorOptions options = {
      .scheduler = {.max_sequences = static_cast<int>(generation_.max_running_sequences),
                    .step_tokens = static_cast<int>(generation_.max_step_tokens),
                    .prompt_tokens_beside_decoding = static_cast<int>(generation_.prompt_tokens_beside_decoding)},
      .kv_bytes = generation_.kv_cache_bytes,
      .kv_type = generation_.kv_type.value_or(kv_type),
      .lookup_tokens = static_cast<int>(generation_.lookup_tokens),
      .max_waiting = queue_.max_queue_requests,
      .max_waiting_tokens = queue_.max_queue_tokens,
      .observe = [observe = Observer(*served), &series = metrics_.Generation(spec.name)](const GeneratorStep& step) {
        observe({step.sequences, step.tokens, absl::FromChrono(step.time), step.begun});
        series.Observe(step);
      }};
  served->decoder = threads_.Run(
      std::make_unique<GenerationRunner>(std::shared_ptr<const DecoderModel>(*std::move(model)), team_, options));
  return served;
}

ServedModelPtr ModelLoader::Serve(const ModelSpec& spec, std::shared_ptr<const Model> model) const {
  auto served = std::make_shared<ServedModel>();
  served->name = spec.name;
  served->precision = spec.precision;
  served->model = std::move(model);
  // The executors go with the queue, whose batches a worker may still hold when the model itself has gone.
  const BatchObserver observe = Observer(*served);
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
