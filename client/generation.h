// A generation as a client sees it: the stream read, its figures, its attention decoded.
#ifndef ATTND_CLIENT_GENERATION_H_
#define ATTND_CLIENT_GENERATION_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/generation.pb.h"
#include "client/channel.h"

namespace attnd {

// What to ask for: either text to go on from, or messages to answer.
struct GenerationPrompt {
  std::string model;
  std::string text;
  bool add_special_tokens = true;         // to `text`
  std::vector<v1::ChatMessage> messages;  // where there are any, Chat is called with them
  v1::GenerationOptions options;
  std::optional<v1::GenerationAttention> attention;
};

// One user's message, after the system's where that is not empty.
std::vector<v1::ChatMessage> UserTurn(const std::string& system, const std::string& text);
v1::ChatMessage MakeMessage(const std::string& role, const std::string& content);

// Of a whole generation, all answers together. Times are the client's.
struct GenerationUsage {
  uint32_t prompt_tokens = 0;
  uint32_t shared_tokens = 0;  // of them from the prefix cache
  uint32_t tokens = 0;         // generated
  double first_token_s = 0;    // from the call; 0 without tokens
  double decode_s = 0;         // from the first token to the last
  double total_s = 0;
  v1::FinishReason reason = v1::FINISH_REASON_UNSPECIFIED;  // of the first answer
  uint64_t seed = 0;                                        // of the first answer

  // Tokens after the first, over decode_s; 0 where there is only one.
  double TokensPerSecond() const { return tokens > 1 && decode_s > 0 ? (tokens - 1) / decode_s : 0; }
};

struct GenerationResult {
  grpc::Status status;
  bool interrupted = false;  // by Ctrl-C, which cancels the call
  bool stopped = false;      // `take` returned false
  GenerationUsage usage;     // of what came
};

// Calls Generate or Chat and `take` with each event as it comes, in the caller's thread; false stops the call.
GenerationResult RunGeneration(const Client& client, const GenerationPrompt& prompt,
                               const std::function<bool(const v1::GenerateResponse&)>& take);

// "stop", "length".
std::string FinishReasonName(v1::FinishReason reason);

// [heads, columns] of a dense TokenAttention, f32 or f16; kDataLoss where its bytes do not fit.
absl::StatusOr<std::vector<float>> DenseRows(const v1::TokenAttention& attention, v1::AttentionDType dtype, int heads);

}  // namespace attnd

#endif  // ATTND_CLIENT_GENERATION_H_
