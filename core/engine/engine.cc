#include "core/engine/engine.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/ops/pooling.h"

namespace attnd {

Engine::Engine(const Model& model, WorkTeam& team)
    : model_(model), team_(team), workspace_(model.encoder->NewWorkspace()) {}

Engine::~Engine() = default;

std::vector<int32_t> Engine::RowsOf(const SequenceJob& job) const {
  const ModelConfig& config = model_.config;
  if (job.last_hidden != nullptr) return {};
  if (job.embedding != nullptr && config.pooling.mode != PoolingMode::kCls) return {};
  std::vector<int32_t> rows;
  if (job.logits != nullptr) {
    if (config.task == Task::kTokenClassify) return {};
    if (config.task == Task::kClassify && model_.head->pooling != PoolingMode::kCls) return {};
    if (config.task == Task::kFillMask) {
      if (job.logit_positions.empty()) return {};
      rows.assign(job.logit_positions.begin(), job.logit_positions.end());
    }
  }
  if (job.embedding != nullptr || rows.empty()) rows.push_back(0);
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

const float* Engine::RowAt(const float* hidden, int i, int32_t token) const {
  const auto begin = batch_.outputs.begin() + batch_.output_begins[i];
  const auto end = batch_.outputs.begin() + batch_.output_begins[i + 1];
  const auto row = std::lower_bound(begin, end, batch_.begins[i] + token) - batch_.outputs.begin();
  return hidden + int64_t{row} * model_.config.hidden_size;
}

void Engine::Embed(absl::Span<const SequenceJob> jobs, const float* hidden, WorkTeam::Session& session) {
  const ModelConfig& config = model_.config;
  const bool dense = !model_.dense.empty();
  std::vector<int> asked;
  for (int i = 0; i < static_cast<int>(jobs.size()); ++i) {
    if (jobs[i].embedding != nullptr) asked.push_back(i);
  }
  if (asked.empty()) return;
  const int count = static_cast<int>(asked.size());
  float* pooled = dense ? model_.dense.Pooled(count, dense_workspace_) : nullptr;
  const auto finish = [&](const SequenceJob& job) {
    if (job.normalize.value_or(config.pooling.normalize)) NormalizeL2(config.embedding_size, job.embedding);
  };
  session.ParallelFor(count, [&](int64_t e, int) {
    const int i = asked[e];
    float* to = dense ? pooled + e * config.hidden_size : jobs[i].embedding;
    Pool(config.pooling.mode, RowAt(hidden, i, 0), batch_.length(i), config.hidden_size, to);
    if (!dense) finish(jobs[i]);
  });
  if (!dense) return;
  const float* embeddings = model_.dense.Run(session, count, dense_workspace_);
  session.ParallelFor(count, [&](int64_t e, int) {
    const SequenceJob& job = jobs[asked[e]];
    std::memcpy(job.embedding, embeddings + e * config.embedding_size, config.embedding_size * sizeof(float));
    finish(job);
  });
}

void Engine::RunHead(absl::Span<const SequenceJob> jobs, const float* hidden, WorkTeam::Session& session) {
  const ModelConfig& config = model_.config;
  head_rows_.clear();
  head_pooled_.resize(model_.head->pooling == PoolingMode::kCls ? 0 : jobs.size() * config.hidden_size);
  const int64_t columns = config.logit_columns();
  for (int i = 0; i < static_cast<int>(jobs.size()); ++i) {
    const SequenceJob& job = jobs[i];
    if (job.logits == nullptr) continue;
    if (config.task == Task::kClassify) {
      const float* row = RowAt(hidden, i, 0);
      if (!head_pooled_.empty()) {
        float* pooled = head_pooled_.data() + int64_t{i} * config.hidden_size;
        Pool(model_.head->pooling, row, batch_.length(i), config.hidden_size, pooled);
        row = pooled;
      }
      head_rows_.push_back({row, job.logits});
    } else if (config.task == Task::kFillMask && !job.logit_positions.empty()) {
      for (size_t p = 0; p < job.logit_positions.size(); ++p) {
        head_rows_.push_back({RowAt(hidden, i, job.logit_positions[p]), job.logits + p * columns});
      }
    } else {
      for (int t = 0; t < batch_.length(i); ++t) {
        head_rows_.push_back({RowAt(hidden, i, t), job.logits + t * columns});
      }
    }
  }
  model_.head->Run(session, head_rows_, head_workspace_);
}

absl::Status Engine::Run(absl::Span<const SequenceJob> jobs, absl::FunctionRef<bool()> keep_going) {
  if (jobs.empty()) return absl::OkStatus();
  batch_.Clear();
  bool with_head = false;
  for (const SequenceJob& job : jobs) {
    batch_.Add(job.ids, job.type_ids, job.sink, RowsOf(job));
    with_head = with_head || job.logits != nullptr;
  }
  WorkTeam::Session session(team_);
  const auto hidden = model_.encoder->Forward(batch_, session, *workspace_, keep_going);
  if (!hidden.ok()) return hidden.status();

  const int64_t width = model_.config.hidden_size;
  Embed(jobs, *hidden, session);
  session.ParallelFor(batch_.sequences(), [&](int64_t i, int) {
    if (jobs[i].last_hidden == nullptr) return;
    std::memcpy(jobs[i].last_hidden, RowAt(*hidden, static_cast<int>(i), 0),
                batch_.length(static_cast<int>(i)) * width * sizeof(float));
  });
  if (with_head) RunHead(jobs, *hidden, session);
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
  // Without a table, or with one row, type ids mean nothing: tokenizers number the texts of a pair for such models,
  // too.
  for (size_t i = 0; i < type_ids.size() && config.type_vocab_size > 1; ++i) {
    if (type_ids[i] < 0 || type_ids[i] >= config.type_vocab_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", i, " has type id ", type_ids[i], ", the model has 0 to ", config.type_vocab_size - 1));
    }
  }
  return absl::OkStatus();
}

}  // namespace attnd
