#include "core/text/chat_template.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/text/ffi/attnd_tokenizers.h"
#include "core/text/ffi_string.h"
#include "core/text/read_file.h"

namespace attnd {
namespace {

constexpr size_t kTemplateBytesMax = size_t{1} << 20;
constexpr size_t kConfigBytesMax = size_t{64} << 20;

// A token in tokenizer_config.json: a string, or an object with its content.
std::string TokenOf(const nlohmann::json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_object()) return "";
  const auto content = found->find("content");
  return content != found->end() && content->is_string() ? content->get<std::string>() : "";
}

// The template in tokenizer_config.json, "" where there is none.
std::string TemplateOf(const nlohmann::json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return "";
  for (const nlohmann::json& entry : *found) {
    if (entry.is_object() && entry.value("name", nlohmann::json()) == "default" && entry.contains("template") &&
        entry["template"].is_string()) {
      return entry["template"].get<std::string>();
    }
  }
  return "";
}

}  // namespace

ChatTemplate::ChatTemplate(attnd_chat_template* handle, std::string bos_token, std::string eos_token)
    : handle_(handle), bos_token_(std::move(bos_token)), eos_token_(std::move(eos_token)) {}

ChatTemplate::~ChatTemplate() { attnd_chat_template_free(handle_); }

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Parse(std::string_view source, const std::string& bos_token,
                                                                  const std::string& eos_token) {
  if (source.size() > kTemplateBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("the chat template has ", source.size(), " bytes, the limit is ", kTemplateBytesMax));
  }
  attnd_chat_template* handle = nullptr;
  attnd_string error{};
  if (attnd_chat_template_load(Bytes(source), source.size(), &handle, &error) != ATTND_OK) {
    return absl::InvalidArgumentError(Take(error));
  }
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(handle, bos_token, eos_token));
}

absl::StatusOr<std::unique_ptr<ChatTemplate>> ChatTemplate::Load(const std::string& folder) {
  nlohmann::json config = nlohmann::json::object();
  const std::string config_path = folder + "/tokenizer_config.json";
  absl::StatusOr<std::string> content = ReadFile(config_path, kConfigBytesMax);
  if (content.ok()) {
    config = nlohmann::json::parse(*content, nullptr, /*allow_exceptions=*/false);
    if (!config.is_object()) return absl::InvalidArgumentError(absl::StrCat(config_path, ": not a JSON object"));
  } else if (!absl::IsNotFound(content.status())) {
    return content.status();
  }
  std::string where = folder + "/chat_template.jinja";
  absl::StatusOr<std::string> source = ReadFile(where, kTemplateBytesMax);
  if (absl::IsNotFound(source.status())) {
    where = config_path;
    source = TemplateOf(config);
  }
  if (!source.ok()) return source.status();
  if (source->empty()) return nullptr;
  auto parsed = Parse(*source, TokenOf(config, "bos_token"), TokenOf(config, "eos_token"));
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat(where, ": ", parsed.status().message()));
  return parsed;
}

absl::StatusOr<std::string> ChatTemplate::Render(absl::Span<const ChatMessage> messages,
                                                 bool add_generation_prompt) const {
  nlohmann::json context = {{"messages", nlohmann::json::array()},
                            {"add_generation_prompt", add_generation_prompt},
                            {"bos_token", bos_token_},
                            {"eos_token", eos_token_}};
  for (const ChatMessage& message : messages) {
    context["messages"].push_back({{"role", message.role}, {"content", message.content}});
  }
  std::string json;
  try {
    json = context.dump();
  } catch (const nlohmann::json::exception&) {
    return absl::InvalidArgumentError("a message is not valid UTF-8");
  }
  attnd_string text{};
  attnd_string error{};
  const int code = attnd_chat_template_render(handle_, Bytes(json), json.size(), &text, &error);
  if (code == ATTND_OK) return Take(text);
  std::string message = Take(error);
  return code == ATTND_INVALID ? absl::InvalidArgumentError(message) : absl::InternalError(message);
}

}  // namespace attnd
