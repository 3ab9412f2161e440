#include "client/bench/report.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/format.h"
#include "client/render/heads.h"
#include "client/render/palette.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

// The figures of a report by name, in the order in which they are shown.
std::vector<std::pair<std::string, double>> Figures(const BenchReport& report) {
  std::vector<std::pair<std::string, double>> figures = report.rates;
  for (const BenchTime& time : report.times) {
    const Percentiles& p = time.percentiles;
    for (const auto& [suffix, value] :
         {std::pair("mean", p.mean), std::pair("p50", p.p50), std::pair("p90", p.p90), std::pair("p95", p.p95),
          std::pair("p99", p.p99), std::pair("p999", p.p999), std::pair("max", p.maximum)}) {
      figures.emplace_back(absl::StrCat(time.name, "_", suffix, "_ms"), value);
    }
  }
  return figures;
}

std::string Spaced(const std::string& name) { return absl::StrReplaceAll(name, {{"_per_", "/"}, {"_", " "}}); }

std::vector<std::vector<std::string>> Rows(const BenchReport& report) {
  std::vector<std::vector<std::string>> rows = {{"ms", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"}};
  for (const BenchTime& time : report.times) {
    const Percentiles& p = time.percentiles;
    rows.push_back({Spaced(time.name)});
    for (const double value : {p.mean, p.p50, p.p90, p.p95, p.p99, p.p999, p.maximum}) {
      rows.back().push_back(Milliseconds(value));
    }
  }
  return rows;
}

std::string Headline(const BenchReport& report) {
  std::string rates, errors;
  for (const auto& [name, value] : report.rates) {
    absl::StrAppend(&rates, rates.empty() ? "" : ", ", Milliseconds(value), " ", Spaced(name));
  }
  uint64_t failed = 0;
  for (const auto& [code, count] : report.errors) {
    absl::StrAppend(&errors, errors.empty() ? " (" : ", ", code, " ", Thousands(count));
    failed += count;
  }
  return absl::StrFormat("%s; %s in %.1f s, %s failed%s", rates, Count(report.calls, "call"), report.seconds,
                         Thousands(failed), errors.empty() ? "" : errors + ")");
}

}  // namespace

Percentiles PercentilesOf(std::vector<double>& values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double q) {
    const double position = q * static_cast<double>(values.size() - 1);
    const auto low = static_cast<size_t>(position);
    const size_t high = std::min(low + 1, values.size() - 1);
    return values[low] + (values[high] - values[low]) * (position - static_cast<double>(low));
  };
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {sum / static_cast<double>(values.size()), at(0.5), at(0.9), at(0.95), at(0.99), at(0.999), values.back()};
}

BenchReport MakeReport(const LoadSettings& settings, const LoadResult& result) {
  BenchReport report;
  report.load = settings.rate > 0 ? absl::StrFormat("open loop, %g calls/s offered, %s a call", settings.rate,
                                                    Count(settings.texts_per_call, "text"))
                                  : absl::StrCat("closed loop, ", Count(settings.concurrency, "caller"), ", ",
                                                 Count(settings.texts_per_call, "text"), " a call");
  report.seconds = result.seconds;
  report.histogram = "latency of a call, ms";
  double tokens = 0, calls = 0;  // inside the window
  const char* const names[] = {"validate", "tokenise", "queue", "compute", "respond", "transport"};
  std::vector<std::vector<double>> stages(std::size(names));
  const bool some_ended = std::ranges::any_of(result.samples, [](const CallSample& sample) { return sample.ended; });
  for (const CallSample& sample : result.samples) {
    if (sample.code != grpc::StatusCode::OK) {
      ++report.errors[CodeName(sample.code)];
      continue;
    }
    calls += sample.share;
    tokens += sample.share * static_cast<double>(sample.tokens);
    if (!sample.ended && some_ended) continue;
    ++report.calls;
    report.samples_ms.push_back(sample.latency_ms);
    const v1::Timings& t = sample.server;
    const double values[] = {t.validate_ns() / 1e6, t.tokenise_ns() / 1e6,
                             t.queue_ns() / 1e6,    t.compute_ns() / 1e6,
                             t.respond_ns() / 1e6,  std::max(0.0, sample.latency_ms - t.total_ns() / 1e6)};
    for (size_t i = 0; i < std::size(names); ++i) stages[i].push_back(values[i]);
  }
  report.times.push_back({"latency", PercentilesOf(report.samples_ms), true});
  for (size_t i = 0; i < std::size(names); ++i) report.times.push_back({names[i], PercentilesOf(stages[i])});
  const double seconds = std::max(result.seconds, 1e-9), calls_per_s = calls / seconds;
  report.rates = {{"calls_per_s", calls_per_s},
                  {"texts_per_s", calls_per_s * settings.texts_per_call},
                  {"tokens_per_s", tokens / seconds}};
  return report;
}

BenchReport MakeReport(const GenerateSettings& settings, GenerateResult result) {
  BenchReport report;
  report.load = absl::StrCat("closed loop, ", Count(settings.concurrency, "caller"), ", prompts of ",
                             Count(settings.prompt_tokens, "token"), ", answers of ", settings.answer_tokens);
  report.seconds = result.seconds;
  report.calls = result.answers_ms.size();
  for (const auto& [code, count] : result.errors) report.errors[CodeName(code)] = count;
  const double seconds = std::max(result.seconds, 1e-9);
  report.rates = {
      {"tokens_per_s", static_cast<double>(result.tokens) / seconds},
      {"prompt_tokens_per_s", static_cast<double>(result.first_token_ms.size()) * settings.prompt_tokens / seconds},
      {"answers_per_s", static_cast<double>(report.calls) / seconds}};
  report.times = {{"first_token", PercentilesOf(result.first_token_ms), true},
                  {"inter_token", PercentilesOf(result.inter_token_ms), true},
                  {"answer", PercentilesOf(result.answers_ms), true}};
  report.histogram = "between tokens, ms";
  report.samples_ms = std::move(result.inter_token_ms);
  return report;
}

std::string ReportTable(const BenchReport& report, const Io& io) {
  std::string out =
      absl::StrCat(Bold(report.load, io.colors), "\n", Headline(report), "\n\n", Table(Rows(report), {0}));
  if (!report.samples_ms.empty()) {
    absl::StrAppend(&out, "\n", report.histogram, "\n",
                    LatencyHistogram(report.samples_ms, 14, std::clamp(io.columns - 32, 10, 60), !io.out_terminal));
  }
  return out;
}

std::string ReportMarkdown(const BenchReport& report) {
  const auto rows = Rows(report);
  std::string out = absl::StrCat(report.load, ": ", Headline(report), "\n\n");
  for (size_t r = 0; r < rows.size(); ++r) {
    for (const auto& cell : rows[r]) absl::StrAppend(&out, "| ", cell, " ");
    absl::StrAppend(&out, "|\n");
    if (r > 0) continue;
    for (size_t c = 0; c < rows[0].size(); ++c) absl::StrAppend(&out, c == 0 ? "|---" : "|---:");
    absl::StrAppend(&out, "|\n");
  }
  return out;
}

std::string ReportCsv(const BenchReport& report) {
  std::string names = "load,seconds,calls,errors", values;
  uint64_t failed = 0;
  for (const auto& [code, count] : report.errors) failed += count;
  absl::StrAppendFormat(&values, "\"%s\",%.3f,%d,%d", report.load, report.seconds, report.calls, failed);
  for (const auto& [name, value] : Figures(report)) {
    absl::StrAppend(&names, ",", name);
    absl::StrAppendFormat(&values, ",%.4f", value);
  }
  return absl::StrCat(names, "\n", values, "\n");
}

std::string ReportJson(const BenchReport& report) {
  nlohmann::json json = {{"load", report.load}, {"seconds", report.seconds}, {"calls", report.calls}};
  json["errors"] = report.errors;
  for (const auto& [name, value] : Figures(report)) json["figures"][name] = value;
  return json.dump(2) + "\n";
}

absl::StatusOr<std::string> CompareReports(const std::string& json, const BenchReport& now) {
  const auto earlier = nlohmann::json::parse(json, nullptr, false);
  if (earlier.is_discarded() || !earlier.is_object() || !earlier.contains("figures") ||
      !earlier["figures"].is_object()) {
    return absl::InvalidArgumentError("no report of attn bench -o json");
  }
  std::vector<std::vector<std::string>> rows = {{"", "before", "now", "change"}};
  for (const auto& [name, value] : Figures(now)) {
    const bool whole = std::any_of(now.times.begin(), now.times.end(), [&name = name](const BenchTime& time) {
      return time.compared && name.starts_with(time.name + "_");
    });
    const bool shown = whole || name.ends_with("_per_s") || name.ends_with("_p50_ms");
    const auto found = earlier["figures"].find(name);
    if (!shown || found == earlier["figures"].end() || !found->is_number()) continue;
    const double before = found->get<double>();
    rows.push_back({name, Milliseconds(before), Milliseconds(value),
                    before > 0 ? absl::StrFormat("%+.1f %%", (value / before - 1) * 100) : "-"});
  }
  std::string out = Table(rows, {0});
  if (earlier.value("load", std::string()) != now.load) absl::StrAppend(&out, "the earlier load was another one\n");
  return out;
}

std::string LatencyHistogram(const std::vector<double>& sorted, int bins, int width, bool ascii) {
  if (sorted.empty()) return "";
  const double low = std::max(sorted.front(), 1e-6), high = std::max(sorted.back(), low * 1.001);
  const double ratio = std::pow(high / low, 1.0 / bins);
  std::vector<uint64_t> counts(bins);
  for (const double value : sorted) {
    const int bin = static_cast<int>(std::log(std::max(value, low) / low) / std::log(ratio));
    ++counts[std::clamp(bin, 0, bins - 1)];
  }
  const uint64_t most = *std::max_element(counts.begin(), counts.end());
  std::string out;
  for (int i = 0; i < bins; ++i) {
    const double from = low * std::pow(ratio, i), to = low * std::pow(ratio, i + 1);
    const std::string bar = Bar(static_cast<double>(counts[i]) / static_cast<double>(most), width, ascii);
    absl::StrAppend(&out, PadLeft(Milliseconds(from), 8), " - ", PadLeft(Milliseconds(to), 8), "  ",
                    counts[i] == 0 ? "" : bar + " " + Thousands(counts[i]), "\n");
  }
  return out;
}

}  // namespace attnd
