#include "server/ops/model_registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/cpu.h"

namespace attnd {
namespace {

uint64_t Nanoseconds(absl::Duration duration) {
  return static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration)));
}

auto Named(absl::string_view name) {
  return [name](const ServedModelPtr& model) { return model->name == name; };
}

}  // namespace

void ModelCounters::Add(bool ok, absl::Duration total, const StageTimes& times, absl::Time now) {
  const auto add = [](std::atomic<uint64_t>& sum, absl::Duration duration) {
    sum.fetch_add(Nanoseconds(duration), std::memory_order_relaxed);
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

void ModelCounters::AddBatch(const BatchReport& report) {
  sequences.fetch_add(static_cast<uint64_t>(report.begun), std::memory_order_relaxed);
  batches.fetch_add(1, std::memory_order_relaxed);
  absl::MutexLock lock(&mutex);
  BatchSum& sum = batch_sums[report.sequences];  // no more sizes than a batch has tokens
  ++sum.batches;
  sum.compute_ns += Nanoseconds(report.compute);
}

std::map<int64_t, BatchSum> ModelCounters::BatchSums() const {
  absl::MutexLock lock(&mutex);
  return batch_sums;
}

const Tokenizer& ServedModel::tokenizer() const {
  return is_decoder() ? *decoder->model().tokenizer : *model->tokenizer;
}

ModelShape ServedModel::shape() const {
  if (is_decoder()) {
    const DecoderConfig& c = decoder->model().config();
    return {c.layers, c.heads, c.hidden_size, c.max_tokens, c.vocab_size, decoder->model().weight_bytes()};
  }
  const ModelConfig& c = model->config;
  return {c.layers, c.heads, c.hidden_size, c.max_tokens, c.vocab_size, model->weight_bytes};
}

const EmbeddingConfig& ServedModel::embedding() const {
  return is_decoder() ? decoder->model().embedding : model->config;
}

absl::string_view ServedModel::task() const {
  if (is_decoder()) return "generate";
  switch (model->config.task) {
    case Task::kClassify:
      return model->config.labels.size() == 1 ? "rerank" : "classify";
    case Task::kTokenClassify:
      return "token-classify";
    case Task::kFillMask:
      return "fill-mask";
    default:
      return "embed";
  }
}

std::string ServedModel::architecture() const {
  if (is_operator()) return "operator";
  if (is_decoder()) return decoder->model().config().model_type;
  const ModelConfig& config = model->config;
  return config.architectures.empty() ? config.model_type : config.architectures[0];
}

std::string ServedModel::cpu_path() const {
  const std::string instructions(CpuPathName());
  // A decoder's own layers have no other path in f32.
  if (is_operator() || (precision == Precision::kF32 && (is_decoder() || PrecisionPath(precision) == "f32"))) {
    return instructions;
  }
  return absl::StrCat(instructions, " (", std::string(PrecisionPath(precision)), ")");
}

ServedModelPtr ModelRegistry::Put(ServedModelPtr model) {
  absl::MutexLock lock(&mutex_);
  const auto found = std::find_if(models_.begin(), models_.end(), Named(model->name));
  if (found != models_.end()) return std::exchange(*found, std::move(model));
  models_.push_back(std::move(model));
  return nullptr;
}

ServedModelPtr ModelRegistry::Remove(absl::string_view name) {
  absl::MutexLock lock(&mutex_);
  const auto found = std::find_if(models_.begin(), models_.end(), Named(name));
  if (found == models_.end()) return nullptr;
  ServedModelPtr removed = std::move(*found);
  models_.erase(found);
  return removed;
}

ServedModelPtr ModelRegistry::Find(absl::string_view name) const {
  if (name == attention_->name) return attention_;
  absl::ReaderMutexLock lock(&mutex_);
  const auto found = std::find_if(models_.begin(), models_.end(), Named(name));
  return found == models_.end() ? nullptr : *found;
}

absl::StatusOr<ServedModelPtr> ModelRegistry::Resolve(absl::string_view name) const {
  if (!name.empty()) {
    ServedModelPtr found = Find(name);
    if (found != nullptr && !found->is_operator()) return found;
    if (found != nullptr) {
      return absl::InvalidArgumentError("\"attention\" is the built-in operator: call ComputeAttention or ModelInfer");
    }
  }
  const std::vector<ServedModelPtr> all = models();
  if (name.empty() && all.size() == 1) return all[0];
  if (all.empty()) {
    return absl::NotFoundError("no model is served; start attnd with --model NAME=DIR or --model-repository DIR");
  }
  if (name.empty()) return absl::InvalidArgumentError(absl::StrCat("name one of the models served: ", Names()));
  // The name itself is the caller's text and is not repeated.
  return absl::NotFoundError(absl::StrCat("no such model; served are: ", Names()));
}

std::vector<ServedModelPtr> ModelRegistry::models() const {
  absl::ReaderMutexLock lock(&mutex_);
  return models_;
}

std::string ModelRegistry::Names() const {
  absl::ReaderMutexLock lock(&mutex_);
  std::string names;
  for (const ServedModelPtr& model : models_) {
    if (names.size() > 300) {
      absl::StrAppend(&names, ", ...");
      break;
    }
    absl::StrAppend(&names, names.empty() ? "" : ", ", model->name);
  }
  return names;
}

}  // namespace attnd
