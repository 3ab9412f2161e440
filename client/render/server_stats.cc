#include "client/render/server_stats.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "client/format.h"
#include "client/render/heads.h"
#include "client/render/palette.h"
#include "client/render/stats_cells.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr const char* kStages[] = {"validate", "tokenise", "queue", "compute", "respond"};

double Finished(const Scrape& scrape, bool errors_only) {
  double sum = 0;
  for (const auto& sample : scrape.samples()) {
    if (sample.name != "grpc_server_handled_total") continue;
    const auto service = sample.labels.find("grpc_service"), code = sample.labels.find("grpc_code");
    // "unknown" is what is no call of ours: health checks, reflection, methods that do not exist.
    if (service == sample.labels.end() || service->second == "unknown") continue;
    if (errors_only && (code == sample.labels.end() || code->second == "OK")) continue;
    sum += sample.value;
  }
  return sum;
}

StageStats Quantiles(const std::string& name, const Histogram& histogram) {
  return {name,
          histogram.count,
          histogram.Quantile(0.5) * 1e3,
          histogram.Quantile(0.95) * 1e3,
          histogram.Quantile(0.99) * 1e3,
          histogram.Mean() * 1e3};
}

// Every call's whole time, of the calls that have stages or are ours.
Histogram Handling(const Scrape& scrape) {
  Histogram all;
  for (const char* service : {"attnd.v1.Attnd", "inference.GRPCInferenceService"}) {
    const Histogram part = scrape.Merge("grpc_server_handling_seconds", {{"grpc_service", service}});
    if (all.bounds.empty()) {
      all = part;
    } else if (all.bounds == part.bounds) {
      for (size_t i = 0; i < part.buckets.size(); ++i) all.buckets[i] += part.buckets[i];
      all.sum += part.sum;
      all.count += part.count;
    }
  }
  return all;
}

}  // namespace

ServerStats Summarize(const Scrape& now, const Scrape* earlier, double seconds, double now_unix_s) {
  ServerStats stats;
  stats.seconds = earlier != nullptr ? seconds : std::max(0.001, now_unix_s - now.Sum("process_start_time_seconds"));
  const auto rate = [&](double now_value, double earlier_value) {
    return std::max(0.0, now_value - (now_value >= earlier_value ? earlier_value : 0)) / stats.seconds;
  };
  const auto counter = [&](const char* name) { return rate(now.Sum(name), earlier ? earlier->Sum(name) : 0); };
  const auto change = [&](const char* name) {
    return earlier ? now.Merge(name).Since(earlier->Merge(name)) : now.Merge(name);
  };
  stats.requests_per_s = rate(Finished(now, false), earlier ? Finished(*earlier, false) : 0);
  stats.errors_per_s = rate(Finished(now, true), earlier ? Finished(*earlier, true) : 0);
  stats.tokens_per_s = counter("attnd_tokens_total");
  stats.batch_tokens = change("attnd_batch_tokens").Mean();
  stats.batch_texts = change("attnd_batch_sequences").Mean();
  stats.queue_tokens = now.Sum("attnd_queue_tokens");
  stats.queue_texts = now.Sum("attnd_queue_requests");
  for (const auto& sample : now.samples()) {
    if (sample.name == "attnd_queue_oldest_seconds") {
      stats.queue_oldest_ms = std::max(stats.queue_oldest_ms, sample.value * 1e3);
    }
  }
  stats.connections = now.Sum("attnd_connections");
  stats.resident_bytes = now.Sum("process_resident_memory_bytes");
  for (const char* stage : kStages) {
    stats.stages.push_back(Quantiles(stage, change(absl::StrCat("attnd_request_", stage, "_seconds").c_str())));
  }
  const Histogram handling = Handling(now);
  stats.stages.push_back(Quantiles("call", earlier ? handling.Since(Handling(*earlier)) : handling));
  for (const std::string& reason : now.Values("attnd_rejected_total", "reason")) {
    stats.refused.emplace_back(reason, now.Sum("attnd_rejected_total", {{"reason", reason}}));
  }
  stats.models = now.Values("attnd_model_info", "model");
  stats.generation = SummarizeGeneration(now, earlier, stats.seconds);
  return stats;
}

std::string StatsText(const ServerStats& stats, const std::string& title, const Io& io) {
  std::string out = absl::StrCat(Bold(Fit(title, io.columns), io.colors), "\n");
  absl::StrAppend(&out, "requests/s ", RateCell(stats.requests_per_s), "   errors/s ", RateCell(stats.errors_per_s),
                  "   tokens/s ", RateCell(stats.tokens_per_s), "\n");
  absl::StrAppendFormat(&out, "batch      %s, %s tokens (means)\n", RateCell(stats.batch_texts) + " texts",
                        RateCell(stats.batch_tokens));
  absl::StrAppendFormat(&out, "queue      %s, %s, oldest %s ms\n\n", Count(stats.queue_texts, "text"),
                        Count(stats.queue_tokens, "token"), Milliseconds(stats.queue_oldest_ms));
  double longest = 0;
  for (const StageStats& stage : stats.stages) longest = std::max(longest, stage.mean_ms);
  const bool bars = io.columns >= 76;
  std::vector<std::vector<std::string>> rows = {{"stage, ms", "p50", "p95", "p99", "mean", "count"}};
  if (bars) rows[0].push_back("");
  for (const StageStats& stage : stats.stages) {
    rows.push_back({stage.name, MillisecondsCell(stage.p50_ms), MillisecondsCell(stage.p95_ms),
                    MillisecondsCell(stage.p99_ms), MillisecondsCell(stage.mean_ms),
                    Thousands(static_cast<uint64_t>(stage.count))});
    if (bars) rows.back().push_back(Bar(longest > 0 ? stage.mean_ms / longest : 0, 24, !io.out_terminal));
  }
  absl::StrAppend(&out, Table(rows, {0, 6}), "\n");
  if (stats.generation) absl::StrAppend(&out, GenerationText(*stats.generation), "\n");
  absl::StrAppend(&out, "refused    ");
  if (stats.refused.empty()) absl::StrAppend(&out, "none");
  for (size_t i = 0; i < stats.refused.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ", ", stats.refused[i].first, " ",
                    Thousands(static_cast<uint64_t>(stats.refused[i].second)));
  }
  absl::StrAppend(&out, "\nserver     ", Count(static_cast<uint64_t>(stats.connections), "connection"), ", ",
                  Bytes(static_cast<uint64_t>(stats.resident_bytes)), ", models ",
                  stats.models.empty() ? "none" : absl::StrJoin(stats.models, " "), "\n");
  return out;
}

std::string StatsJson(const ServerStats& stats) {
  nlohmann::json stages, refused = nlohmann::json::object();
  for (const StageStats& stage : stats.stages) {
    stages[stage.name] = {{"count", stage.count},
                          {"p50_ms", JsonNumber(stage.p50_ms)},
                          {"p95_ms", JsonNumber(stage.p95_ms)},
                          {"p99_ms", JsonNumber(stage.p99_ms)},
                          {"mean_ms", stage.mean_ms}};
  }
  for (const auto& [reason, count] : stats.refused) refused[reason] = count;
  nlohmann::json json = {{"seconds", stats.seconds},
                         {"requests_per_s", stats.requests_per_s},
                         {"errors_per_s", stats.errors_per_s},
                         {"tokens_per_s", stats.tokens_per_s},
                         {"batch_tokens", stats.batch_tokens},
                         {"batch_texts", stats.batch_texts},
                         {"queue_tokens", stats.queue_tokens},
                         {"queue_texts", stats.queue_texts},
                         {"queue_oldest_ms", stats.queue_oldest_ms},
                         {"connections", stats.connections},
                         {"resident_bytes", stats.resident_bytes},
                         {"stages", stages},
                         {"refused", refused},
                         {"models", stats.models}};
  if (stats.generation) json["generation"] = GenerationJson(*stats.generation);
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace attnd
