#include "server/rpc/task_check.h"

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

absl::string_view CallOf(const ServedModel& model) {
  if (model.is_decoder()) return "Generate";
  switch (model.model->config.task) {
    case Task::kClassify:
      return IsReranker(model.model->config) ? "Rerank or Classify" : "Classify";
    case Task::kTokenClassify:
      return "TokenClassify";
    case Task::kFillMask:
      return "FillMask";
    default:
      return "Embed";
  }
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

absl::Status Mismatch(const ServedModel& model, absl::string_view needed) {
  return absl::FailedPreconditionError(
      absl::StrCat("the call needs ", needed, "; the model's task is ", model.task(), ": call ", CallOf(model)));
}

}  // namespace

absl::Status CheckEncoder(const ServedModel& model) {
  return model.is_decoder() ? Mismatch(model, "an encoder") : absl::OkStatus();
}

absl::Status CheckDecoder(const ServedModel& model) {
  return model.is_decoder() ? absl::OkStatus() : Mismatch(model, "a model that generates");
}

absl::Status CheckTask(const ServedModel& model, Task task) {
  const bool has = !model.is_decoder() && model.model->config.task == task;
  return has ? absl::OkStatus() : Mismatch(model, HeadOf(task));
}

absl::Status CheckReranker(const ServedModel& model) {
  const bool is = !model.is_decoder() && IsReranker(model.model->config);
  return is ? absl::OkStatus() : Mismatch(model, "a classifier with one label");
}

}  // namespace attnd
