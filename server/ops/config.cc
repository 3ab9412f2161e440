#include "server/ops/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/ops/server_context.h"

namespace attnd {
namespace {

constexpr char kFooter[] = R"(
Every option is also an environment variable (shown as Env) and a line of the --config file, without the dashes:

    model = ["minilm=/models/all-MiniLM-L6-v2"]
    max-batch-tokens = 2048

The command line goes before the environment, the environment before the file. Sizes take units: 64KiB, 16MiB.
Exit codes: 0 after a drain; 2 when it could not start (a wrong option, a model file at fault, a port in use).
A second SIGTERM or SIGINT stops at once.)";

using Range = std::pair<int64_t, int64_t>;

std::string EnvironmentName(const std::string& flag) {
  return absl::StrCat("ATTND_", absl::AsciiStrToUpper(absl::StrReplaceAll(flag.substr(2), {{"-", "_"}})));
}

// The command line, preceded by the environment's values for the options that it does not name. (CLI11 would read the
// environment itself, but after the configuration file, and drop values it finds wrong without a word.)
std::vector<std::string> WithEnvironment(const CLI::App& app, int argc, const char* const* argv) {
  std::vector<std::string> given(argv + std::min(argc, 1), argv + argc), result;
  for (const CLI::Option* option : app.get_options()) {
    const char* value = option->get_envname().empty() ? nullptr : std::getenv(option->get_envname().c_str());
    if (value == nullptr || *value == 0) continue;
    const std::string flag = option->get_name();
    const bool named = std::any_of(given.begin(), given.end(), [&](const std::string& argument) {
      return argument == flag || absl::StartsWith(argument, flag + "=");
    });
    if (!named) result.push_back(absl::StrCat(flag, "=", value));
  }
  result.insert(result.end(), given.begin(), given.end());
  return result;
}

// Adds options that share their habits: a default in the help, an environment variable, a unit.
class Options {
 public:
  explicit Options(CLI::App& app) : app_(app) {}

  template <typename T>
  CLI::Option* Add(const std::string& flag, T& value, const std::string& unit, const std::string& help) {
    CLI::Option* option = app_.add_option(flag, value, help)->type_name(unit)->envname(EnvironmentName(flag));
    // Given twice, the last one wins: a script's wrapper can be overruled at its end.
    if constexpr (!std::is_same_v<T, std::vector<std::string>>) option->capture_default_str()->take_last();
    return option;
  }
  void Number(const std::string& flag, int64_t& value, Range range, const std::string& unit, const std::string& help) {
    Add(flag, value, unit, help)->check(CLI::Range(range.first, range.second));
  }
  void Bytes(const std::string& flag, int64_t& value, Range range, const std::string& help) {
    const std::string limits = absl::StrCat("in [", range.first, " - ", range.second, "]");
    const auto parse = [size = CLI::AsSizeValue(false), range, limits](std::string& text) {
      const std::string given = text;
      int64_t bytes = -1;
      try {
        if (!size(text).empty() || !absl::SimpleAtoi(text, &bytes)) bytes = -1;
      } catch (const CLI::ValidationError&) {  // what CLI11's own parser throws for what is no number
      }
      if (bytes >= range.first && bytes <= range.second) return std::string();
      return absl::StrCat("Value ", given, " is not a size ", limits, " (units: KiB, MiB, GiB)");
    };
    Add(flag, value, "BYTES", help)->transform(CLI::Validator(parse, limits));
  }

 private:
  CLI::App& app_;
};

// The key=value pairs that follow the first part.
absl::Status ParseModelKeys(absl::string_view flag, const std::vector<std::string>& parts, ModelSpec& spec) {
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::vector<std::string> pair = absl::StrSplit(parts[i], absl::MaxSplits('=', 1));
    if (pair.size() != 2) {
      return absl::InvalidArgumentError(absl::StrCat(flag, ": \"", parts[i], "\" is not key=value"));
    }
    if (pair[0] != "precision") {
      return absl::InvalidArgumentError(absl::StrCat(flag, ": unknown key \"", pair[0], "\"; known: precision"));
    }
    const std::optional<Precision> precision = ParsePrecision(pair[1]);
    if (!precision.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(flag, ": precision \"", pair[1], "\" is none of f32, bf16, int8, auto"));
    }
    spec.precision = *precision;
  }
  return absl::OkStatus();
}

// Nothing: "auto".
std::optional<KvType> ParseKvType(absl::string_view name) {
  if (name == "f32") return KvType::kF32;
  if (name == "bf16") return KvType::kBf16;
  if (name == "int8") return KvType::kInt8;
  return std::nullopt;
}

constexpr int64_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;

}  // namespace

bool IsModelName(absl::string_view name) {
  if (name.empty() || name.size() > 64 || name[0] == '.') return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

absl::StatusOr<ModelSpec> ParseModelSpec(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  const std::vector<std::string> head = absl::StrSplit(parts[0], absl::MaxSplits('=', 1));
  if (head.size() != 2 || head[1].empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--model: \"", text, "\" is not NAME=DIR[,key=value...]"));
  }
  if (!IsModelName(head[0])) {
    return absl::InvalidArgumentError(absl::StrCat("--model: the name \"", head[0],
                                                   "\" is not 1 to 64 letters, digits, '-', '_' and '.', beginning "
                                                   "with no dot"));
  }
  if (head[0] == "attention") {
    return absl::InvalidArgumentError("--model: \"attention\" is the name of the built-in operator: take another one");
  }
  ModelSpec spec{.name = head[0], .folder = head[1]};
  if (absl::Status status = ParseModelKeys(absl::StrCat("--model ", spec.name), parts, spec); !status.ok()) {
    return status;
  }
  return spec;
}

ParseResult ParseConfig(int argc, const char* const* argv) {
  Config config;
  std::vector<std::string> models;
  std::string repository;
  std::string log_format = "text";
  int64_t workers = 0, drain_grace_ms = 0, drain_timeout_ms = absl::ToInt64Milliseconds(config.drain_timeout);
  std::string kv_type = "auto";
  int64_t generation_deadline_ms = absl::ToInt64Milliseconds(config.limits.default_generation_deadline);
  int64_t default_deadline_ms = absl::ToInt64Milliseconds(config.limits.default_deadline);

  CLI::App app("attnd serves transformer models over gRPC, with their attention.", "attnd");
  app.footer(kFooter);
  app.set_version_flag("--version", absl::StrCat("attnd ", std::string(kServerVersion)));
  app.set_config("--config", "", "Configuration file (TOML)")->envname("ATTND_CONFIG")->type_name("FILE");
  app.allow_config_extras(CLI::config_extras_mode::error);
  Options options(app);

  options
      .Add("--model", models, "NAME=DIR[,KEY=VALUE...]",
           "A Hugging Face folder, or a .gguf file, to serve under a name; repeatable (in ATTND_MODEL: separated by\n"
           "';')."
           "\n"
           "Keys: precision=f32, bf16, int8 or auto (the fastest that is as faithful as bf16)")
      ->allow_extra_args(false);
  options.Add("--model-repository", repository, "DIR[,KEY=VALUE...]",
              "Serve every sub-folder (of a Hugging Face model, or with one .gguf file) under its own name;\n"
              "RepositoryModelLoad and RepositoryModelUnload change what is\n"
              "served. A folder that does not load is listed with the reason. Keys: as above");
  options.Add("--listen", config.listen, "HOST:PORT", "Address of the gRPC port; port 0: any free one; or unix:PATH");
  options.Add("--metrics-listen", config.metrics_listen, "HOST:PORT",
              "Address of the Prometheus port; port 0: any free one; \"off\": none");
  options.Number("--workers", workers, {0, 1024}, "THREADS",
                 "Threads that run models; 0: one per core this process may use (affinity and cgroup quota)");
  options.Number("--linger-us", config.linger_us, {0, 1000000}, "MICROSECONDS",
                 "How long two of them stay awake when no batch is left, so that the next request, if it comes soon,\n"
                 "has nobody to wake; 0: they sleep at once");
  options.Number("--max-connections", config.max_connections, {1, 1000000}, "CONNECTIONS",
                 "Open connections; more are closed at once");
  options.Number("--max-batch-tokens", config.queue.max_batch_tokens, {1, 1 << 20}, "TOKENS", "Budget of a batch");
  options.Number("--max-queue-tokens", config.queue.max_queue_tokens, {1, 1 << 30}, "TOKENS",
                 "Waiting tokens of a model; more are refused (RESOURCE_EXHAUSTED)");
  options.Number("--max-queue-requests", config.queue.max_queue_requests, {1, 1 << 24}, "TEXTS",
                 "Waiting texts of a model; more are refused (RESOURCE_EXHAUSTED)");
  options.Number("--max-queue-delay-us", config.queue.max_queue_delay_us, {0, 1000000}, "MICROSECONDS",
                 "How long a batch below its budget may wait for more; 0: never while a worker is idle");
  options.Bytes("--kv-cache-bytes", config.generation.kv_cache_bytes, {kMiB, 1024 * kGiB},
                "Keys and values of each decoder; memory is taken as it is needed");
  options
      .Add("--kv-type", kv_type, "TYPE",
           "Numbers of keys and values: f32, bf16, int8, or auto: f32 where the model's precision is f32, else bf16")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "int8"}));
  options.Number("--max-running-sequences", config.generation.max_running_sequences, {1, 4096}, "SEQUENCES",
                 "Answers that a decoder computes side by side; more wait");
  options.Number("--max-step-tokens", config.generation.max_step_tokens, {1, 1 << 16}, "TOKENS",
                 "Tokens that a decoder computes in one step");
  options.Number("--prompt-tokens-beside-decoding", config.generation.prompt_tokens_beside_decoding, {1, 1 << 16},
                 "TOKENS", "Of them those of prompts, where others wait for their next token");
  options.Number(
      "--lookup-tokens", config.generation.lookup_tokens, {0, 32}, "TOKENS",
      "Tokens that a step tries beyond an answer's next one, where its text stood like this before; 0: none.\n"
      "Answers are the same, and sooner complete");
  options.Number("--max-texts-per-call", config.limits.max_texts_per_call, {1, 1 << 20}, "TEXTS", "Texts of one call");
  options.Bytes("--max-text-bytes", config.limits.max_text_bytes, {1, kGiB}, "Size of one text");
  options.Bytes("--max-attention-bytes", config.limits.max_attention_bytes, {0, 64 * kGiB},
                "Attention maps of one call, all texts together");
  options.Bytes("--max-attention-memory-bytes", config.limits.max_attention_memory_bytes, {0, 1024 * kGiB},
                "Attention maps of all calls together; more are refused (RESOURCE_EXHAUSTED)");
  options.Bytes("--max-message-bytes", config.limits.max_message_bytes, {kKiB, 2 * kGiB - 1}, "Size of one request");
  options.Number("--default-deadline-ms", default_deadline_ms, {1, 86400000}, "MILLISECONDS",
                 "Deadline of calls that bring none");
  options.Number("--default-generation-deadline-ms", generation_deadline_ms, {1, 86400000}, "MILLISECONDS",
                 "The same of calls that generate");
  options.Number("--drain-grace-ms", drain_grace_ms, {0, 3600000}, "MILLISECONDS",
                 "After SIGTERM: go on taking calls so long, with health NOT_SERVING");
  options.Number("--drain-timeout-ms", drain_timeout_ms, {0, 3600000}, "MILLISECONDS",
                 "After that: how long calls in flight may take to finish");
  options.Add("--log-level", config.log_level, "LEVEL", "debug, info, warn, error, off")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}));
  options.Add("--log-format", log_format, "FORMAT", "text or json, to standard error")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_flag("--access-log", config.access_log, "One line per finished call")->envname("ATTND_ACCESS_LOG");

  const auto fail = [](absl::string_view message) {
    return ParseResult{.output = absl::StrCat("attnd: ", message, "\nRun attnd --help for the options.\n"),
                       .exit_code = 2};
  };
  try {
    std::vector<std::string> arguments = WithEnvironment(app, argc, argv);
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    return {.output = app.help()};
  } catch (const CLI::CallForVersion&) {
    return {.output = app.version() + "\n"};
  } catch (const CLI::Error& error) {
    return fail(error.what());
  }

  std::set<std::string> names;
  for (const std::string& value : models) {
    for (absl::string_view text : absl::StrSplit(value, ';', absl::SkipWhitespace())) {
      auto spec = ParseModelSpec(std::string(absl::StripAsciiWhitespace(text)));
      if (!spec.ok()) return fail(spec.status().message());
      if (!names.insert(spec->name).second)
        return fail(absl::StrCat("--model: the name ", spec->name, " is given twice"));
      config.models.push_back(*std::move(spec));
    }
  }
  if (!repository.empty()) {
    const std::vector<std::string> parts = absl::StrSplit(repository, ',');
    ModelSpec spec;
    if (absl::Status status = ParseModelKeys("--model-repository", parts, spec); !status.ok()) {
      return fail(status.message());
    }
    config.model_repository = parts[0];
    config.repository_precision = spec.precision;
  }
  if (config.queue.max_queue_tokens < config.queue.max_batch_tokens) {
    return fail("--max-queue-tokens is below --max-batch-tokens: no batch could ever be full");
  }
  config.workers = static_cast<int>(workers);
  config.generation.kv_type = ParseKvType(kv_type);
  config.limits.default_generation_deadline = absl::Milliseconds(generation_deadline_ms);
  config.limits.default_deadline = absl::Milliseconds(default_deadline_ms);
  config.drain_grace = absl::Milliseconds(drain_grace_ms);
  config.drain_timeout = absl::Milliseconds(drain_timeout_ms);
  config.log_json = log_format == "json";
  return {.config = std::move(config)};
}

}  // namespace attnd
