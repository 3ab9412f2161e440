// Prompts: what an embedding model wants its texts to begin with.
#ifndef ATTND_SERVER_RPC_PROMPT_H_
#define ATTND_SERVER_RPC_PROMPT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/model/config.h"

namespace attnd {

// What to put before each text: `prompt` itself where it is given, else the model's prompt of that name, else the
// model's default one, else nothing. kInvalidArgument where both are given, or the model has no prompt of that name:
// the field at fault, below `fields` ("" or "parameters.").
absl::StatusOr<std::string> FindPrompt(const EmbeddingConfig& config, const std::optional<std::string>& name,
                                       const std::optional<std::string>& prompt, absl::string_view fields = "");

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_PROMPT_H_
