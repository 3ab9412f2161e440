// ChatTemplate: a conversation as the prompt a model was trained on, by the model's own Jinja template.
#ifndef ATTND_CORE_TEXT_CHAT_TEMPLATE_H_
#define ATTND_CORE_TEXT_CHAT_TEMPLATE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

struct attnd_chat_template;

namespace attnd {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", ...
  std::string content;
};

// Immutable after Parse; any number of threads may render at once.
class ChatTemplate {
 public:
  // `source` is Jinja; `bos_token` and `eos_token` are variables of it. kInvalidArgument names the line of a fault.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Parse(std::string_view source, const std::string& bos_token,
                                                             const std::string& eos_token);
  // Reads the template of a Hugging Face folder: chat_template.jinja, or chat_template of tokenizer_config.json (a
  // string, or a list of which "default" is taken). Null where the folder has none.
  static absl::StatusOr<std::unique_ptr<ChatTemplate>> Load(const std::string& folder);
  ~ChatTemplate();
  ChatTemplate(const ChatTemplate&) = delete;
  ChatTemplate& operator=(const ChatTemplate&) = delete;

  // With `add_generation_prompt` the text ends where the assistant's answer begins. kInvalidArgument: the template
  // refuses the conversation (its own words follow) or fails on it; invalid UTF-8. Errors hold nothing of the messages.
  absl::StatusOr<std::string> Render(absl::Span<const ChatMessage> messages, bool add_generation_prompt) const;

 private:
  ChatTemplate(attnd_chat_template* handle, std::string bos_token, std::string eos_token);

  attnd_chat_template* const handle_;  // owned, of core/text/ffi
  const std::string bos_token_, eos_token_;
};

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_CHAT_TEMPLATE_H_
