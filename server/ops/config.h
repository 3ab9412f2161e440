// Config: everything that can be set from outside: flags, ATTND_* environment variables, a configuration file.
#ifndef ATTND_SERVER_OPS_CONFIG_H_
#define ATTND_SERVER_OPS_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/ops/kv_pages.h"
#include "core/ops/precision.h"
#include "server/batching/batch_queue.h"
#include "server/ops/limits.h"

namespace attnd {

// --model NAME=DIR[,key=value...]
struct ModelSpec {
  std::string name;    // IsModelName
  std::string folder;  // or a .gguf file
  Precision precision = Precision::kF32;
};
// How decoders run; of each.
struct GenerationConfig {
  int64_t kv_cache_bytes = int64_t{512} << 20;
  std::optional<KvType> kv_type;  // nothing: f32 where the weights are, else bf16
  int64_t max_running_sequences = 64;
  int64_t max_step_tokens = 512;
  int64_t prompt_tokens_beside_decoding = 64;
  int64_t lookup_tokens = 8;
};

// 1 to 64 letters, digits, "-", "_" and ".", the first one not a ".".
bool IsModelName(absl::string_view name);
// kInvalidArgument names the fault; unknown keys are refused.
absl::StatusOr<ModelSpec> ParseModelSpec(const std::string& text);

struct Config {
  std::vector<ModelSpec> models;
  std::string model_repository;                      // its sub-folders are models; empty: none
  Precision repository_precision = Precision::kF32;  // of those
  std::string listen = "127.0.0.1:50051";            // HOST:PORT, port 0: any free one; or unix:PATH
  std::string metrics_listen = "127.0.0.1:9464";     // HOST:PORT, or "off"
  int workers = 0;                                   // 0: one per core this process may use
  int64_t linger_us = 1000;                          // that a worker and its helper stay awake after the last batch
  int64_t max_connections = 4096;
  QueueOptions queue;  // of each model
  GenerationConfig generation;
  Limits limits;
  absl::Duration drain_grace = absl::ZeroDuration();  // between NOT_SERVING and GOAWAY
  // At least so long where anybody is connected, for clients that watch health to look elsewhere. No flag: it is for
  // tests to shorten.
  absl::Duration drain_notice = absl::Milliseconds(500);
  absl::Duration drain_timeout = absl::Seconds(25);  // for calls in flight
  bool access_log = false;
  bool log_json = false;
  std::string log_level = "info";
};

// The result of parsing: a configuration, or what to print and the exit code (0 for --help and --version, else 2).
struct ParseResult {
  std::optional<Config> config;
  std::string output;
  int exit_code = 0;
};
ParseResult ParseConfig(int argc, const char* const* argv);

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_CONFIG_H_
