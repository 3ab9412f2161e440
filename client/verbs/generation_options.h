// The options of the verbs that generate: how tokens are chosen, and flags whose value may be left out.
#ifndef ATTND_CLIENT_VERBS_GENERATION_OPTIONS_H_
#define ATTND_CLIENT_VERBS_GENERATION_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "attnd/v1/generation.pb.h"
#include "client/verbs/verb.h"

namespace attnd {

// As on the command line; what is absent is left to the server. Ranges are the server's to check.
struct GenerationFlags {
  std::optional<uint32_t> max_tokens;
  uint32_t min_tokens = 0;
  std::optional<float> repetition_penalty;
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::vector<std::string> logit_bias;  // "ID=VALUE"
  std::optional<float> temperature;
  uint32_t top_k = 0;
  std::optional<float> top_p;
  float min_p = 0;
  std::optional<float> typical_p;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_ids;
  bool ignore_eos = false;
  std::string json_schema;  // itself, or @FILE
  std::string regex;
};

void AddGenerationFlags(CLI::App* verb, GenerationFlags& flags);
// kInvalidArgument naming the flag.
absl::StatusOr<v1::GenerationOptions> MakeGenerationOptions(const GenerationFlags& flags, Io& io);

// A flag that may have a value: "--logprobs", "--logprobs 5".
struct OptionalValue {
  CLI::Option* option = nullptr;
  std::string value;  // empty where none was given
  bool given() const { return option != nullptr && option->count() > 0; }
};
void AddOptionalValue(CLI::App* verb, const std::string& name, const std::string& value_name, OptionalValue& flag,
                      const std::string& description);
// In `attn generate --logprobs "a text"` the flag took the text for its value: where `positional` is empty and the
// value is not of the flag's form, it is the positional's.
void GiveBack(OptionalValue& flag, bool (*is_value)(const std::string&), std::string& positional);
// "5"; "L3H5", "7-9:0-3", "*".
bool IsCount(const std::string& value);
bool IsSelection(const std::string& value);

}  // namespace attnd

#endif  // ATTND_CLIENT_VERBS_GENERATION_OPTIONS_H_
