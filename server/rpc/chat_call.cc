#include "server/rpc/chat_call.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"
#include "server/rpc/message.h"

namespace attnd {
namespace {

constexpr int kMessagesMax = 1024;

}  // namespace

absl::Status ChatCall::TakeRequest(grpc::ByteBuffer* bytes) {
  if (absl::Status status = ParseMessage(bytes, request_); !status.ok()) return status;
  if (absl::Status status = job_.ResolveModel(request_.model()); !status.ok()) return status;
  const ChatTemplate* chat_template = job_.decoder().chat_template.get();
  if (chat_template == nullptr) {
    return WithField(
        absl::FailedPreconditionError("the model has no chat template: call Generate with the prompt as it "
                                      "is to be, or give the model's folder a chat_template.jinja"),
        "model");
  }
  if (request_.messages_size() < 1 || request_.messages_size() > kMessagesMax) {
    return FieldError("messages",
                      absl::StrCat(request_.messages_size(), " messages: at least 1, at most ", kMessagesMax));
  }
  size_t size = 0;
  std::vector<ChatMessage> messages;
  for (v1::ChatMessage& message : *request_.mutable_messages()) {
    size += message.content().size() + message.role().size();
    messages.push_back({std::move(*message.mutable_role()), std::move(*message.mutable_content())});
  }
  request_.clear_messages();
  if (static_cast<int64_t>(size) > context_.limits.max_text_bytes) {
    return FieldError("messages", absl::StrCat(size, " bytes, at most ", context_.limits.max_text_bytes,
                                               " are allowed (max_text_bytes)"));
  }
  const auto text = chat_template->Render(messages, /*add_generation_prompt=*/true);
  if (!text.ok()) return WithField(text.status(), "messages");
  // The template writes all special tokens itself.
  return job_.TakeText(*text, /*add_special_tokens=*/false, "messages");
}

}  // namespace attnd
