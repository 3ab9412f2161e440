#include "server/rpc/prompt.h"

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"

namespace attnd {

absl::StatusOr<std::string> FindPrompt(const EmbeddingConfig& config, const std::optional<std::string>& name,
                                       const std::optional<std::string>& prompt, absl::string_view fields) {
  const std::string field = absl::StrCat(fields, "prompt_name");
  if (prompt.has_value()) {
    if (name.has_value()) return FieldError(field, "prompt and prompt_name exclude each other");
    return *prompt;
  }
  const std::string wanted = name.value_or(config.default_prompt_name);
  if (wanted.empty() && !name.has_value()) return std::string();
  const auto found = config.prompts.find(wanted);
  if (found != config.prompts.end()) return found->second;
  std::string known;
  for (const auto& entry : config.prompts) {
    if (known.size() > 300) break;
    absl::StrAppend(&known, known.empty() ? "" : ", ", entry.first);
  }
  return FieldError(field, known.empty() ? "the model has no prompts"
                                         : absl::StrCat("the model has no prompt of that name; it has ", known));
}

}  // namespace attnd
