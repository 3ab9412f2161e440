// Which calls a model's head answers.
#ifndef ATTND_SERVER_RPC_TASK_CHECK_H_
#define ATTND_SERVER_RPC_TASK_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/model/config.h"
#include "server/ops/model_registry.h"

namespace attnd {

// A classifier with one label: what it scores is how well two texts go together.
inline bool IsReranker(const ModelConfig& config) {
  return config.task == Task::kClassify && config.labels.size() == 1;
}

// Whether the model is an encoder (of whatever task), or a decoder, or an encoder with the head of `task`.
// kFailedPrecondition names the task it has and the calls to use instead.
absl::Status CheckEncoder(const ServedModel& model);
absl::Status CheckDecoder(const ServedModel& model);
absl::Status CheckTask(const ServedModel& model, Task task);
absl::Status CheckReranker(const ServedModel& model);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_TASK_CHECK_H_
