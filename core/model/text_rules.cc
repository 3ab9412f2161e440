#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/model/config_parts.h"

namespace attnd {
namespace {

constexpr size_t kPromptsMax = 256;
constexpr size_t kPromptBytesMax = 4096;

// The first of `names` that is in the folder, if one is.
absl::StatusOr<std::optional<JsonObject>> ReadFirst(const std::string& folder,
                                                    std::initializer_list<const char*> names) {
  for (const char* name : names) {
    absl::StatusOr<JsonObject> file = ReadJsonObject(absl::StrCat(folder, "/", name));
    if (file.ok()) return *std::move(file);
    if (!absl::IsNotFound(file.status())) return file.status();
  }
  return std::nullopt;
}

// model_max_length is 1e30 where nobody set it.
absl::Status CutToTokenizer(const std::string& folder, EmbeddingConfig& config) {
  auto file = ReadFirst(folder, {"tokenizer_config.json"});
  if (!file.ok()) return file.status();
  if (!file->has_value()) return absl::OkStatus();
  absl::StatusOr<double> length = (*file)->Number("model_max_length", 1, 1e300, config.max_tokens);
  if (!length.ok()) return length.status();
  config.max_tokens = static_cast<int>(std::min<double>(*length, config.max_tokens));
  return absl::OkStatus();
}

absl::Status ReadPrompts(const JsonObject& file, EmbeddingConfig& config) {
  if (file.Has("prompts")) {
    const nlohmann::json& prompts = file.json().at("prompts");
    if (!prompts.is_object() || prompts.size() > kPromptsMax) {
      return file.Fault("prompts", absl::StrCat("must be an object of at most ", kPromptsMax, " prompts"));
    }
    for (const auto& [name, prompt] : prompts.items()) {
      if (name.size() > kPromptBytesMax || !prompt.is_string() ||
          prompt.get_ref<const std::string&>().size() > kPromptBytesMax) {
        return file.Fault("prompts", absl::StrCat("must hold strings of at most ", kPromptBytesMax, " bytes, holds ",
                                                  ShownValue(prompt)));
      }
      config.prompts.emplace(name, prompt.get<std::string>());
    }
  }
  if (absl::Status status = Store(file.String("default_prompt_name", ""), config.default_prompt_name); !status.ok()) {
    return status;
  }
  if (!config.default_prompt_name.empty() && !config.prompts.contains(config.default_prompt_name)) {
    return file.Fault("default_prompt_name",
                      absl::StrCat("is ", ShownValue(config.default_prompt_name), ", which is none of the prompts"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadTextRules(const std::string& folder, EmbeddingConfig& config) {
  auto sentence = ReadFirst(
      folder, {"sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
               "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json"});
  if (!sentence.ok()) return sentence.status();
  if (sentence->has_value() && (*sentence)->Has("max_seq_length")) {
    // It may promise more than the position table has.
    absl::StatusOr<int> length = (*sentence)->Int("max_seq_length", 1, kPositionsMax, 0);
    if (!length.ok()) return length.status();
    config.max_tokens = std::min(*length, config.max_tokens);
  } else if (absl::Status status = CutToTokenizer(folder, config); !status.ok()) {
    return status;
  }
  if (sentence->has_value()) {
    if (absl::Status status = Store((*sentence)->Bool("do_lower_case", false), config.lower_case); !status.ok()) {
      return status;
    }
  }
  auto own = ReadFirst(folder, {"config_sentence_transformers.json"});
  if (!own.ok()) return own.status();
  return own->has_value() ? ReadPrompts(**own, config) : absl::OkStatus();
}

absl::Status ReadScoreRules(const std::string& folder, ModelConfig& config) {
  if (config.task != Task::kClassify) return absl::OkStatus();
  auto own = ReadFirst(folder, {"config_sentence_transformers.json"});
  if (!own.ok()) return own.status();
  if (!own->has_value()) return absl::OkStatus();
  absl::StatusOr<std::string> activation = (*own)->String("activation_fn", "");
  if (!activation.ok()) return activation.status();
  UseCrossEncoderActivation(*activation, config);
  return absl::OkStatus();
}

}  // namespace attnd
