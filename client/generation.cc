#include "client/generation.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/clock.h"
#include "client/interrupt.h"

namespace attnd {
namespace {

std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> Open(const Client& client, const GenerationPrompt& prompt,
                                                               grpc::ClientContext& context) {
  if (prompt.messages.empty()) {
    v1::GenerateRequest request;
    request.set_model(prompt.model);
    request.set_text(prompt.text);
    request.set_add_special_tokens(prompt.add_special_tokens);
    *request.mutable_options() = prompt.options;
    if (prompt.attention) *request.mutable_attention() = *prompt.attention;
    return client.stub().Generate(&context, request);
  }
  v1::ChatRequest request;
  request.set_model(prompt.model);
  for (const v1::ChatMessage& message : prompt.messages) *request.add_messages() = message;
  *request.mutable_options() = prompt.options;
  if (prompt.attention) *request.mutable_attention() = *prompt.attention;
  return client.stub().Chat(&context, request);
}

float FromHalf(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const float magnitude = exponent == 0    ? std::ldexp(static_cast<float>(fraction), -24)
                          : exponent == 31 ? (fraction == 0 ? INFINITY : NAN)
                                           : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

}  // namespace

v1::ChatMessage MakeMessage(const std::string& role, const std::string& content) {
  v1::ChatMessage message;
  message.set_role(role);
  message.set_content(content);
  return message;
}

std::vector<v1::ChatMessage> UserTurn(const std::string& system, const std::string& text) {
  std::vector<v1::ChatMessage> messages;
  if (!system.empty()) messages.push_back(MakeMessage("system", system));
  messages.push_back(MakeMessage("user", text));
  return messages;
}

GenerationResult RunGeneration(const Client& client, const GenerationPrompt& prompt,
                               const std::function<bool(const v1::GenerateResponse&)>& take) {
  GenerationResult result;
  GenerationUsage& usage = result.usage;
  grpc::ClientContext context;
  client.PrepareGeneration(context);
  const InterruptScope interrupts([&context] { context.TryCancel(); });
  const Clock::time_point begin = Clock::now();
  Clock::time_point first = begin;
  const auto reader = Open(client, prompt, context);
  v1::GenerateResponse event;
  while (reader->Read(&event)) {
    const Clock::time_point now = Clock::now();
    if (event.has_start()) usage.prompt_tokens = event.start().prompt_size();
    if (event.has_delta()) {
      if (usage.tokens++ == 0) first = now;
      usage.first_token_s = Seconds(first - begin);
      usage.decode_s = Seconds(now - first);
    }
    if (event.has_end() && event.end().answer() == 0) {
      usage.reason = event.end().reason();
      usage.seed = event.end().seed();
    }
    if (event.has_summary()) {
      usage.prompt_tokens = event.summary().prompt_tokens();
      usage.shared_tokens = event.summary().shared_tokens();
    }
    if (!take(event) && !result.stopped) {
      result.stopped = true;
      context.TryCancel();
    }
  }
  result.status = reader->Finish();
  usage.total_s = Seconds(Clock::now() - begin);
  result.interrupted = interrupts.interrupted();
  return result;
}

std::string FinishReasonName(v1::FinishReason reason) {
  if (reason == v1::FINISH_REASON_STOP) return "stop";
  return reason == v1::FINISH_REASON_LENGTH ? "length" : "unfinished";
}

absl::StatusOr<std::vector<float>> DenseRows(const v1::TokenAttention& attention, v1::AttentionDType dtype, int heads) {
  const bool half = dtype == v1::ATTENTION_DTYPE_F16;
  const size_t count = static_cast<size_t>(attention.columns()) * static_cast<size_t>(heads);
  const std::string& bytes = attention.values();
  if (bytes.size() != count * (half ? 2 : 4)) {
    return absl::DataLossError(absl::StrCat("the server sent ", bytes.size(), " bytes for ", heads, " rows of ",
                                            attention.columns(), half ? " f16" : " f32"));
  }
  std::vector<float> rows(count);
  if (!half) {
    if (count > 0) std::memcpy(rows.data(), bytes.data(), bytes.size());
    return rows;
  }
  for (size_t i = 0; i < count; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * i, sizeof(bits));
    rows[i] = FromHalf(bits);
  }
  return rows;
}

}  // namespace attnd
