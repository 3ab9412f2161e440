#include "core/engine/engine.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/ops/pooling.h"

namespace attnd {

Engine::Engine(const Model& model, WorkTeam& team)
    : model_(model), team_(team), workspace_(model.encoder->NewWorkspace()) {}

Engine::~Engine() = default;

absl::Status Engine::Run(absl::Span<const SequenceJob> jobs, absl::FunctionRef<bool()> keep_going) {
  if (jobs.empty()) return absl::OkStatus();
  batch_.Clear();
  for (const SequenceJob& job : jobs) batch_.Add(job.ids, job.type_ids, job.sink);
  WorkTeam::Session session(team_);
  const auto hidden = model_.encoder->Forward(batch_, session, *workspace_, keep_going);
  if (!hidden.ok()) return hidden.status();

  const int width = model_.config.hidden_size;
  const PoolingConfig& pooling = model_.config.pooling;
  session.ParallelFor(batch_.sequences(), [&](int64_t i, int) {
    const SequenceJob& job = jobs[i];
    const float* rows = *hidden + int64_t{batch_.begins[i]} * width;
    const int tokens = batch_.length(static_cast<int>(i));
    if (job.embedding != nullptr) {
      Pool(pooling.mode, rows, tokens, width, job.embedding);
      if (job.normalize.value_or(pooling.normalize)) NormalizeL2(width, job.embedding);
    }
    if (job.last_hidden != nullptr) std::memcpy(job.last_hidden, rows, int64_t{tokens} * width * sizeof(float));
  });
  return absl::OkStatus();
}

absl::Status Engine::Check(const ModelConfig& config, absl::Span<const int32_t> ids,
                           absl::Span<const int32_t> type_ids) {
  if (ids.empty()) return absl::InvalidArgumentError("0 tokens, at least 1 is needed");
  if (ids.size() > static_cast<size_t>(config.max_tokens)) {
    return absl::InvalidArgumentError(absl::StrCat(ids.size(), " tokens, the model takes ", config.max_tokens));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < 0 || ids[i] >= config.vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", i, " has id ", ids[i], ", the vocabulary has 0 to ", config.vocab_size - 1));
    }
  }
  if (!type_ids.empty() && type_ids.size() != ids.size()) {
    return absl::InvalidArgumentError(absl::StrCat(type_ids.size(), " type ids for ", ids.size(), " tokens"));
  }
  for (size_t i = 0; i < type_ids.size(); ++i) {
    if (type_ids[i] < 0 || type_ids[i] >= config.type_vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", i, " has type id ", type_ids[i], ", the model has 0 to ", config.type_vocab_size - 1));
    }
  }
  return absl::OkStatus();
}

}  // namespace attnd
