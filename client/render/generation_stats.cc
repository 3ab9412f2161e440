#include "client/render/generation_stats.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/format.h"
#include "client/render/stats_cells.h"

namespace attnd {
namespace {

std::string Percent(double share) { return std::isnan(share) ? "-" : absl::StrFormat("%.0f %%", share * 100); }
std::string SecondsCell(double seconds) { return MillisecondsCell(seconds * 1e3); }

nlohmann::json HistogramJson(const Histogram& histogram) {
  return {{"count", histogram.count},
          {"p50_ms", JsonNumber(histogram.Quantile(0.5) * 1e3)},
          {"p95_ms", JsonNumber(histogram.Quantile(0.95) * 1e3)},
          {"p99_ms", JsonNumber(histogram.Quantile(0.99) * 1e3)},
          {"mean_ms", histogram.Mean() * 1e3}};
}

}  // namespace

std::optional<GenerationStats> SummarizeGeneration(const Scrape& now, const Scrape* earlier, double seconds) {
  const bool there = std::any_of(now.samples().begin(), now.samples().end(),
                                 [](const MetricSample& sample) { return sample.name == "attnd_kv_pages"; });
  if (!there) return std::nullopt;
  const auto change = [&](const char* name) {
    const double value = now.Sum(name), before = earlier != nullptr ? earlier->Sum(name) : 0;
    return std::max(0.0, value >= before ? value - before : value);  // less than before: the server started anew
  };
  const auto histogram = [&](const char* name) {
    return earlier != nullptr ? now.Merge(name).Since(earlier->Merge(name)) : now.Merge(name);
  };
  GenerationStats stats;
  stats.prompt_tokens_per_s = change("attnd_prompt_tokens_total") / seconds;
  stats.tokens_per_s = change("attnd_generation_tokens_total") / seconds;
  stats.running = now.Sum("attnd_generations_running");
  stats.waiting = now.Sum("attnd_generations_waiting");
  stats.pages = now.Sum("attnd_kv_pages");
  stats.pages_used = now.Sum("attnd_kv_pages_used");
  const double looked_for = change("attnd_prefix_cache_queries_total");
  stats.prefix_share = looked_for > 0 ? change("attnd_prefix_cache_hits_total") / looked_for : NAN;
  stats.preemptions_per_s = change("attnd_preemptions_total") / seconds;
  stats.first_token = histogram("attnd_time_to_first_token_seconds");
  stats.inter_token = histogram("attnd_inter_token_latency_seconds");
  for (const std::string& reason : now.Values("attnd_generations_finished_total", "reason")) {
    stats.finished.emplace_back(reason, now.Sum("attnd_generations_finished_total", {{"reason", reason}}));
  }
  return stats;
}

std::string GenerationText(const GenerationStats& stats) {
  std::string out = absl::StrFormat("generation %s tokens/s, prompts %s tokens/s, %s running, %s waiting\n",
                                    RateCell(stats.tokens_per_s), RateCell(stats.prompt_tokens_per_s),
                                    Thousands(stats.running), Thousands(stats.waiting));
  absl::StrAppendFormat(&out, "kv cache   %s of %s used, prefix hits %s, preemptions/s %s\n",
                        Thousands(stats.pages_used), Count(stats.pages, "page"), Percent(stats.prefix_share),
                        RateCell(stats.preemptions_per_s));
  std::vector<std::vector<std::string>> rows = {{"token, ms", "p50", "p95", "p99", "mean", "count"}};
  for (const auto& [name, h] : {std::pair("first", &stats.first_token), std::pair("next", &stats.inter_token)}) {
    rows.push_back({name, SecondsCell(h->Quantile(0.5)), SecondsCell(h->Quantile(0.95)), SecondsCell(h->Quantile(0.99)),
                    SecondsCell(h->Mean()), Thousands(static_cast<uint64_t>(h->count))});
  }
  absl::StrAppend(&out, Table(rows, {0}), "finished   ");
  if (stats.finished.empty()) absl::StrAppend(&out, "none");
  for (size_t i = 0; i < stats.finished.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ", ", stats.finished[i].first, " ",
                    Thousands(static_cast<uint64_t>(stats.finished[i].second)));
  }
  return out + "\n";
}

nlohmann::json GenerationJson(const GenerationStats& stats) {
  nlohmann::json finished = nlohmann::json::object();
  for (const auto& [reason, count] : stats.finished) finished[reason] = count;
  return {{"tokens_per_s", stats.tokens_per_s},
          {"prompt_tokens_per_s", stats.prompt_tokens_per_s},
          {"running", stats.running},
          {"waiting", stats.waiting},
          {"kv_pages", stats.pages},
          {"kv_pages_used", stats.pages_used},
          {"prefix_share", JsonNumber(stats.prefix_share)},
          {"preemptions_per_s", stats.preemptions_per_s},
          {"first_token", HistogramJson(stats.first_token)},
          {"inter_token", HistogramJson(stats.inter_token)},
          {"finished", finished}};
}

}  // namespace attnd
