#include "server/batching/model_queue.h"

#include <utility>

#include "server/batching/executor.h"

namespace attnd {

ModelQueue::ModelQueue(const QueueOptions& options, std::vector<std::unique_ptr<Executor>> executors)
    : queue_(options), executors_(std::move(executors)) {}

ModelQueue::~ModelQueue() = default;

}  // namespace attnd
