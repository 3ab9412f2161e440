#include "server/batching/executor.h"

#include <algorithm>
#include <utility>

namespace attnd {
EngineExecutor::EngineExecutor(std::shared_ptr<const Model> model, WorkTeam& team, Batcher::Clock clock,
                               BatchObserver observer)
    : model_(std::move(model)), engine_(*model_, team), clock_(std::move(clock)), observer_(std::move(observer)) {}

void EngineExecutor::Run(Batch& batch) {
  jobs_.clear();
  for (QueueItem* item : batch.items) jobs_.push_back(static_cast<EncodeItem*>(item)->Job());
  const auto keep_going = [&] {
    const absl::Time now = clock_();
    return std::any_of(batch.items.begin(), batch.items.end(),
                       [now](const QueueItem* item) { return !item->call->Abandoned(now); });
  };
  const absl::Time begin = clock_();
  const absl::Status status = engine_.Run(jobs_, keep_going);
  const absl::Time end = clock_();
  if (observer_) {
    observer_({static_cast<int64_t>(batch.items.size()), batch.tokens, end - begin});
  }
  for (QueueItem* item : batch.items) {
    item->finished_at = end;
    const absl::Status abandoned = item->call->Abandonment(end);
    item->Finish(abandoned.ok() ? status : abandoned);
  }
}

TaskExecutor::TaskExecutor(WorkTeam& team, Batcher::Clock clock, BatchObserver observer)
    : team_(team), clock_(std::move(clock)), observer_(std::move(observer)) {}

void TaskExecutor::Run(Batch& batch) {
  for (QueueItem* item : batch.items) {
    const auto keep_going = [&] { return !item->call->Abandoned(clock_()); };
    const absl::Time begin = clock_();
    absl::Status status = item->call->Abandonment(begin);
    if (status.ok()) {
      WorkTeam::Session session(team_);
      status = static_cast<TaskItem*>(item)->Compute(session, keep_going);
    }
    const absl::Time end = clock_();
    if (observer_) observer_({1, item->tokens, end - begin});
    item->finished_at = end;
    const absl::Status abandoned = item->call->Abandonment(end);
    item->Finish(abandoned.ok() ? status : abandoned);
  }
}

void RunWorker(Batcher& batcher, int worker) {
  Batch batch;
  while (batcher.Next(batch)) batch.queue->executor(worker).Run(batch);
}

}  // namespace attnd
