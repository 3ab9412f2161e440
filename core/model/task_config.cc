#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/model/config_parts.h"

namespace attnd {
namespace {

Task TaskOf(const std::vector<std::string>& architectures) {
  static constexpr std::pair<const char*, Task> kSuffixes[] = {
      {"ForSequenceClassification", Task::kClassify},
      {"ForTokenClassification", Task::kTokenClassify},
      {"ForMaskedLM", Task::kFillMask},
  };
  for (const std::string& architecture : architectures) {
    for (const auto& [suffix, task] : kSuffixes) {
      if (absl::EndsWith(architecture, suffix)) return task;
    }
  }
  return Task::kEmbed;
}

// id2label has the ids 0 to n-1 as strings, in any order.
absl::Status ReadLabels(const JsonObject& file, std::vector<std::string>& labels) {
  constexpr size_t kLabelBytesMax = 256;
  absl::StatusOr<int> count = file.Int("num_labels", 1, kLabelsMax, 2);
  if (!count.ok()) return count.status();
  if (!file.Has("id2label")) {
    for (int i = 0; i < *count; ++i) labels.push_back(absl::StrCat("LABEL_", i));
    return absl::OkStatus();
  }
  const nlohmann::json& names = file.json().at("id2label");
  if (!names.is_object() || names.empty() || names.size() > size_t{kLabelsMax}) {
    return file.Fault("id2label", absl::StrCat("must be an object of 1 to ", kLabelsMax, " labels"));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const auto name = names.find(std::to_string(i));
    if (name == names.end()) {
      return file.Fault("id2label", absl::StrCat("has ", names.size(), " labels, but none of id ", i));
    }
    if (!name->is_string() || name->get_ref<const std::string&>().size() > kLabelBytesMax) {
      return file.Fault("id2label", absl::StrCat("must hold strings of at most ", kLabelBytesMax, " bytes, holds ",
                                                 ShownValue(*name), " for ", i));
    }
    labels.push_back(name->get<std::string>());
  }
  return absl::OkStatus();
}

// The activation that sentence-transformers' CrossEncoder keeps in config.json; empty where it keeps none.
absl::StatusOr<std::string> CrossEncoderActivation(const JsonObject& file) {
  if (file.Has("sentence_transformers") && file.json().at("sentence_transformers").is_object()) {
    const JsonObject own(file.json().at("sentence_transformers"), absl::StrCat(file.name(), ": sentence_transformers"));
    return own.String("activation_fn", "");
  }
  return file.String("sbert_ce_default_activation_function", "");
}

absl::Status ReadProblemType(const JsonObject& file, ModelConfig& config) {
  absl::StatusOr<std::string> activation = CrossEncoderActivation(file);
  if (!activation.ok()) return activation.status();
  absl::StatusOr<std::string> name = file.String("problem_type", "");
  if (!name.ok()) return name.status();
  if (*name == "multi_label_classification") {
    config.problem_type = ProblemType::kMultiLabel;
  } else if (*name == "regression") {
    config.problem_type = ProblemType::kRegression;
  } else if (name->empty() || *name == "single_label_classification") {
    config.problem_type = config.labels.size() == 1 ? ProblemType::kMultiLabel : ProblemType::kSingleLabel;
  } else {
    return file.Fault("problem_type",
                      absl::StrCat("must be single_label_classification, multi_label_classification or regression, is ",
                                   ShownValue(*name)));
  }
  UseCrossEncoderActivation(*activation, config);
  return absl::OkStatus();
}

}  // namespace

void UseCrossEncoderActivation(const std::string& name, ModelConfig& config) {
  // Of several labels Identity is what CrossEncoder saves unless told otherwise: softmax is then left to the caller.
  if (absl::EndsWith(name, ".Identity") && config.labels.size() == 1) config.problem_type = ProblemType::kRegression;
  if (absl::EndsWith(name, ".Sigmoid")) config.problem_type = ProblemType::kMultiLabel;
}

absl::Status ReadTask(const JsonObject& file, ModelConfig& config) {
  config.task = TaskOf(config.architectures);
  if (config.task != Task::kClassify && config.task != Task::kTokenClassify) return absl::OkStatus();
  if (absl::Status status = ReadLabels(file, config.labels); !status.ok()) return status;
  return config.task == Task::kClassify ? ReadProblemType(file, config) : absl::OkStatus();
}

}  // namespace attnd
