// Load on a server: closed loop (N callers, each waits for its answer) or open loop (arrivals at a rate).
#ifndef ATTND_CLIENT_BENCH_LOAD_H_
#define ATTND_CLIENT_BENCH_LOAD_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "client/channel.h"

namespace attnd {

struct LoadSettings {
  std::string model;
  v1::Truncation truncate = v1::TRUNCATION_END;
  int concurrency = 8;  // callers of the closed loop
  int connections = 8;  // over which calls are spread
  int texts_per_call = 1;
  double rate = 0;      // calls per second of the open loop; 0: closed loop
  double warmup_s = 1;  // not measured
  double duration_s = 10;
  uint32_t seed = 1;
  std::optional<v1::AttentionSpec> attention;  // asked of every text
};

struct CallSample {
  double latency_ms = 0;  // closed loop: of the call; open loop: from when it was due, so that a late start counts
  v1::Timings server;
  uint64_t tokens = 0;
  grpc::StatusCode code = grpc::StatusCode::OK;
  // Of a closed loop: the part of the call's time that fell into the window, and whether it ended there. Callers are
  // served in turn and end together, so that to count calls would be to measure where the window happened to end.
  double share = 1;
  bool ended = true;
};

struct LoadResult {
  double seconds = 0;  // of the window, in the open loop that the samples span
  std::vector<CallSample> samples;
  std::string first_error;
};

// Calls Embed with `texts` in turn. `progress` gets the share done, from one thread, some times a second.
LoadResult RunLoad(const ChannelOptions& channel, const LoadSettings& settings, const std::vector<std::string>& texts,
                   const std::function<void(double)>& progress);

}  // namespace attnd

#endif  // ATTND_CLIENT_BENCH_LOAD_H_
