// The decoders' part of `attn stats`.
#ifndef ATTND_CLIENT_RENDER_GENERATION_STATS_H_
#define ATTND_CLIENT_RENDER_GENERATION_STATS_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/metrics_text.h"
#include "nlohmann/json.hpp"

namespace attnd {

// Of all decoders together. Rates over the interval; NaN where there was nothing to divide by.
struct GenerationStats {
  double prompt_tokens_per_s = 0, tokens_per_s = 0;  // computed; generated
  double running = 0, waiting = 0;                   // answers, now
  double pages = 0, pages_used = 0;                  // of keys and values, now
  double prefix_share = 0;                           // of the prompts' tokens: taken over from the prefix cache
  double preemptions_per_s = 0;
  Histogram first_token, inter_token;                    // seconds
  std::vector<std::pair<std::string, double>> finished;  // since the server's start, by reason; only those above 0
};

// Nothing where the server has no decoder. `earlier` null: since the server's start, `seconds` ago.
std::optional<GenerationStats> SummarizeGeneration(const Scrape& now, const Scrape* earlier, double seconds);
std::string GenerationText(const GenerationStats& stats);
nlohmann::json GenerationJson(const GenerationStats& stats);

}  // namespace attnd

#endif  // ATTND_CLIENT_RENDER_GENERATION_STATS_H_
