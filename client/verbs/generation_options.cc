#include "client/verbs/generation_options.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/input.h"

namespace attnd {

void AddGenerationFlags(CLI::App* verb, GenerationFlags& flags) {
  const std::string group = "Choice of tokens";
  const auto option = [&](const std::string& name, auto& value, const std::string& description) {
    return verb->add_option(name, value, description)->group(group);
  };
  option("--max-tokens", flags.max_tokens, "Tokens of an answer; default 256");
  option("--min-tokens", flags.min_tokens, "No end before so many tokens");
  option("--temperature", flags.temperature, "0: always the most probable token; default 1");
  option("--top-k", flags.top_k, "Among the K most probable tokens; 0: all");
  option("--top-p", flags.top_p, "Among the fewest tokens that have this probability together; default 1");
  option("--min-p", flags.min_p, "Among tokens with this share of the most probable one's probability");
  option("--typical-p", flags.typical_p, "Among the most typical tokens that have this probability together");
  option("--repetition-penalty", flags.repetition_penalty, "On tokens of prompt and answer; 1: none");
  option("--presence-penalty", flags.presence_penalty, "On tokens that the answer has; -2 to 2");
  option("--frequency-penalty", flags.frequency_penalty, "On tokens, as often as the answer has them; -2 to 2");
  option("--logit-bias", flags.logit_bias, "ID=VALUE, added to a token's logit; repeatable")->allow_extra_args(false);
  option("--seed", flags.seed, "Same seed, same tokens; default: drawn, and told");
  Verbatim(option("--stop", flags.stop, "End the answer at this text; repeatable"))->allow_extra_args(false);
  option("--stop-id", flags.stop_ids, "End the answer at this token; repeatable")->allow_extra_args(false);
  verb->add_flag("--ignore-eos", flags.ignore_eos, "Go on beyond the model's end token")->group(group);
  CLI::Option* schema =
      Verbatim(option("--json-schema", flags.json_schema, "Only JSON by this schema; @FILE; {}: any object"));
  Verbatim(option("--regex", flags.regex, "Only what matches, as a whole"))->excludes(schema);
}

absl::StatusOr<v1::GenerationOptions> MakeGenerationOptions(const GenerationFlags& flags, Io& io) {
  v1::GenerationOptions options;
  if (flags.max_tokens) options.set_max_tokens(*flags.max_tokens);
  options.set_min_tokens(flags.min_tokens);
  if (flags.repetition_penalty) options.set_repetition_penalty(*flags.repetition_penalty);
  options.set_presence_penalty(flags.presence_penalty);
  options.set_frequency_penalty(flags.frequency_penalty);
  for (const std::string& bias : flags.logit_bias) {
    const std::vector<std::string> parts = absl::StrSplit(bias, '=');
    int32_t id = 0;
    float value = 0;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &id) || !absl::SimpleAtof(parts[1], &value)) {
      return absl::InvalidArgumentError(absl::StrCat("--logit-bias takes ID=VALUE, such as 42=-100, not '", bias, "'"));
    }
    (*options.mutable_logit_bias())[id] = value;
  }
  if (flags.temperature) options.set_temperature(*flags.temperature);
  options.set_top_k(flags.top_k);
  if (flags.top_p) options.set_top_p(*flags.top_p);
  options.set_min_p(flags.min_p);
  if (flags.typical_p) options.set_typical_p(*flags.typical_p);
  if (flags.seed) options.set_seed(*flags.seed);
  for (const std::string& stop : flags.stop) {
    if (!IsUtf8(stop)) return absl::InvalidArgumentError("--stop is not UTF-8");
    options.add_stop(stop);
  }
  for (const int32_t id : flags.stop_ids) options.add_stop_ids(id);
  options.set_ignore_eos(flags.ignore_eos);
  if (!flags.json_schema.empty()) {
    const auto schema = ReadText(flags.json_schema, io);
    if (!schema.ok())
      return absl::Status(schema.status().code(), absl::StrCat("--json-schema: ", schema.status().message()));
    options.set_json_schema(*schema);
  }
  if (!flags.regex.empty()) {
    if (!IsUtf8(flags.regex)) return absl::InvalidArgumentError("--regex is not UTF-8");
    options.set_regex(flags.regex);
  }
  return options;
}

void AddOptionalValue(CLI::App* verb, const std::string& name, const std::string& value_name, OptionalValue& flag,
                      const std::string& description) {
  flag.option =
      Verbatim(verb->add_option(name, flag.value, description))->expected(0, 1)->type_name("[" + value_name + "]");
}

void GiveBack(OptionalValue& flag, bool (*is_value)(const std::string&), std::string& positional) {
  if (flag.value.empty() || is_value(flag.value) || !positional.empty()) return;
  positional = std::exchange(flag.value, "");
}

bool IsCount(const std::string& value) {
  return !value.empty() && std::all_of(value.begin(), value.end(), absl::ascii_isdigit);
}

bool IsSelection(const std::string& value) {
  const auto known = [](unsigned char c) {
    return absl::ascii_isdigit(c) ||
           absl::string_view("LHlh:*,-").find(static_cast<char>(c)) != absl::string_view::npos;
  };
  const auto names = [](unsigned char c) { return absl::ascii_isdigit(c) || c == '*'; };
  return std::all_of(value.begin(), value.end(), known) && std::any_of(value.begin(), value.end(), names);
}

}  // namespace attnd
