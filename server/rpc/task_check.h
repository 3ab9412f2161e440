// Which calls a model's head answers.
#ifndef ATTND_SERVER_RPC_TASK_CHECK_H_
#define ATTND_SERVER_RPC_TASK_CHECK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/model/config.h"

namespace attnd {

// A classifier with one label: what it scores is how well two texts go together.
inline bool IsReranker(const ModelConfig& config) {
  return config.task == Task::kClassify && config.labels.size() == 1;
}

// "embed", "classify", "rerank", "token-classify", "fill-mask", "generate".
absl::string_view TaskName(const ModelConfig& config);

// Whether the model's head is that of `task`. kFailedPrecondition names the task it has and the calls to use instead.
absl::Status CheckTask(const ModelConfig& config, Task task);
absl::Status CheckReranker(const ModelConfig& config);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_TASK_CHECK_H_
