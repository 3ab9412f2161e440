// What the metrics of a server say, for `attn stats`.
#ifndef ATTND_CLIENT_RENDER_SERVER_STATS_H_
#define ATTND_CLIENT_RENDER_SERVER_STATS_H_

#include <optional>
#include <string>
#include <vector>

#include "client/io.h"
#include "client/metrics_text.h"
#include "client/render/generation_stats.h"

namespace attnd {

// Quantiles in milliseconds; NaN without observations.
struct StageStats {
  std::string name;
  double count = 0, p50_ms = 0, p95_ms = 0, p99_ms = 0, mean_ms = 0;
};

struct ServerStats {
  double seconds = 0;  // that the rates are over
  double requests_per_s = 0, errors_per_s = 0, tokens_per_s = 0;
  double batch_tokens = 0, batch_texts = 0;                       // means of a batch
  double queue_tokens = 0, queue_texts = 0, queue_oldest_ms = 0;  // now
  double connections = 0, resident_bytes = 0;                     // now
  std::vector<StageStats> stages;                                 // validate to respond, then the whole call
  std::vector<std::pair<std::string, double>> refused;  // since the server's start, by reason; only those above 0
  std::vector<std::string> models;
  std::optional<GenerationStats> generation;  // where there are decoders
};

// Since `earlier`, `seconds` ago; null: since the server's start, by process_start_time_seconds and `now_unix_s`.
// Calls of health and reflection are left out.
ServerStats Summarize(const Scrape& now, const Scrape* earlier, double seconds, double now_unix_s);
std::string StatsText(const ServerStats& stats, const std::string& title, const Io& io);
std::string StatsJson(const ServerStats& stats);  // one line

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_SERVER_STATS_H_
