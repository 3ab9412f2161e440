#include "server/rpc/task_check.h"

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

absl::string_view CallOf(const ModelConfig& config) {
  switch (config.task) {
    case Task::kEmbed:
      return "Embed";
    case Task::kClassify:
      return IsReranker(config) ? "Rerank or Classify" : "Classify";
    case Task::kTokenClassify:
      return "TokenClassify";
    case Task::kFillMask:
      return "FillMask";
    case Task::kGenerate:
      return "Generate";
  }
  return "";
}

absl::string_view HeadOf(Task task) {
  switch (task) {
    case Task::kClassify:
      return "a classifier of texts";
    case Task::kTokenClassify:
      return "a classifier of tokens";
    case Task::kFillMask:
      return "a head that fills masks";
    default:
      return "another head";
  }
}

absl::Status Mismatch(const ModelConfig& config, absl::string_view needed) {
  return absl::FailedPreconditionError(
      absl::StrCat("the call needs ", needed, "; the model's task is ", TaskName(config), ": call ", CallOf(config)));
}

}  // namespace

absl::string_view TaskName(const ModelConfig& config) {
  switch (config.task) {
    case Task::kEmbed:
      return "embed";
    case Task::kClassify:
      return IsReranker(config) ? "rerank" : "classify";
    case Task::kTokenClassify:
      return "token-classify";
    case Task::kFillMask:
      return "fill-mask";
    case Task::kGenerate:
      return "generate";
  }
  return "";
}

absl::Status CheckTask(const ModelConfig& config, Task task) {
  return config.task == task ? absl::OkStatus() : Mismatch(config, HeadOf(task));
}

absl::Status CheckReranker(const ModelConfig& config) {
  return IsReranker(config) ? absl::OkStatus() : Mismatch(config, "a classifier with one label");
}

}  // namespace attnd
