// Load of generations: N callers, each with one answer after the other.
#ifndef ATTND_CLIENT_BENCH_GENERATE_LOAD_H_
#define ATTND_CLIENT_BENCH_GENERATE_LOAD_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/generation.pb.h"
#include "client/channel.h"

namespace attnd {

struct GenerateSettings {
  std::string model;
  int concurrency = 1;
  int connections = 1;
  int prompt_tokens = 128;  // of every prompt, exactly
  int answer_tokens = 64;   // of every answer: end tokens do not end it
  v1::GenerationOptions options;
  std::optional<v1::GenerationAttention> attention;  // asked of every token
  double warmup_s = 1;
  double duration_s = 10;
  uint32_t seed = 1;  // of the prompts
};

// What came between the end of the warm-up and the end. Times are the client's, in milliseconds.
struct GenerateResult {
  double seconds = 0;
  uint64_t tokens = 0;                 // of the answers, also of those that began before or ended after
  std::vector<double> first_token_ms;  // of answers that began then; from the call
  std::vector<double> inter_token_ms;  // between two tokens of an answer
  std::vector<double> answers_ms;      // of answers that began and ended then; from the call
  std::map<grpc::StatusCode, uint64_t> errors;
  std::string first_error;
};

// Token ids of `count` different prompts of settings.prompt_tokens, by the server's tokenizer from texts that the seed
// makes. `status` is the call's where it failed.
absl::StatusOr<std::vector<v1::TokenIds>> MakePrompts(const Client& client, const GenerateSettings& settings, int count,
                                                      grpc::Status& status);

// `progress` gets the share done, from one thread, some times a second. Answers under way at the end are cancelled.
GenerateResult RunGenerateLoad(const ChannelOptions& channel, const GenerateSettings& settings,
                               const std::vector<v1::TokenIds>& prompts, const std::function<void(double)>& progress);

}  // namespace attnd

#endif  // ATTND_CLIENT_BENCH_GENERATE_LOAD_H_
