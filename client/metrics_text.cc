#include "client/metrics_text.h"

#include <httplib.h>

#include <cmath>
#include <limits>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace attnd {
namespace {

bool HasLabels(const MetricSample& sample, const std::map<std::string, std::string>& labels) {
  for (const auto& [key, value] : labels) {
    const auto found = sample.labels.find(key);
    if (found == sample.labels.end() || found->second != value) return false;
  }
  return true;
}

// Reads {a="b",c="d"} off the front of `text`; values may hold \\ \" \n.
bool ParseLabels(absl::string_view& text, std::map<std::string, std::string>& labels) {
  text.remove_prefix(1);
  while (!text.empty() && text[0] != '}') {
    const size_t equals = text.find("=\"");
    if (equals == absl::string_view::npos) return false;
    const std::string key(absl::StripAsciiWhitespace(text.substr(0, equals)));
    text.remove_prefix(equals + 2);
    std::string value;
    while (!text.empty() && text[0] != '"') {
      if (text[0] == '\\' && text.size() > 1)
        text.remove_prefix(1), value.push_back(text[0] == 'n' ? '\n' : text[0]);
      else
        value.push_back(text[0]);
      text.remove_prefix(1);
    }
    if (!absl::ConsumePrefix(&text, "\"")) return false;
    labels[key] = value;
    absl::ConsumePrefix(&text, ",");
  }
  return absl::ConsumePrefix(&text, "}");
}

bool ParseNumber(absl::string_view text, double& value) {
  if (text == "+Inf" || text == "Inf")
    value = std::numeric_limits<double>::infinity();
  else if (text == "-Inf")
    value = -std::numeric_limits<double>::infinity();
  else if (text == "NaN" || text == "Nan")
    value = std::nan("");
  else
    return absl::SimpleAtod(text, &value);
  return true;
}

bool ParseSample(absl::string_view line, MetricSample& sample) {
  const size_t name_end = line.find_first_of("{ \t");
  if (name_end == 0 || name_end == absl::string_view::npos) return false;
  sample.name = std::string(line.substr(0, name_end));
  line.remove_prefix(name_end);
  if (line[0] == '{' && !ParseLabels(line, sample.labels)) return false;
  const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  return !parts.empty() && parts.size() <= 2 && ParseNumber(parts[0], sample.value);  // [1]: a time stamp
}

}  // namespace

absl::StatusOr<std::vector<MetricSample>> ParseMetrics(absl::string_view text) {
  std::vector<MetricSample> samples;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    MetricSample sample;
    if (!ParseSample(line, sample)) {
      return absl::InvalidArgumentError(absl::StrCat("metrics: line ", number, " is no sample"));
    }
    samples.push_back(std::move(sample));
  }
  return samples;
}

double Histogram::Quantile(double q) const {
  if (count <= 0 || buckets.empty()) return std::nan("");
  const double rank = q * count;
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (buckets[i] < rank) continue;
    if (std::isinf(bounds[i])) return i == 0 ? std::nan("") : bounds[i - 1];
    const double low = i == 0 ? 0 : bounds[i - 1], below = i == 0 ? 0 : buckets[i - 1];
    const double inside = buckets[i] - below;
    return inside <= 0 ? bounds[i] : low + (bounds[i] - low) * (rank - below) / inside;
  }
  return bounds.size() > 1 ? bounds[bounds.size() - 2] : std::nan("");
}

Histogram Histogram::Since(const Histogram& earlier) const {
  if (earlier.bounds != bounds || earlier.count > count) return *this;
  Histogram change = *this;
  change.sum -= earlier.sum;
  change.count -= earlier.count;
  for (size_t i = 0; i < buckets.size(); ++i) change.buckets[i] -= earlier.buckets[i];
  return change;
}

double Scrape::Sum(absl::string_view name, const std::map<std::string, std::string>& labels) const {
  double sum = 0;
  for (const auto& sample : samples_) {
    if (sample.name == name && HasLabels(sample, labels)) sum += sample.value;
  }
  return sum;
}

Histogram Scrape::Merge(absl::string_view name, const std::map<std::string, std::string>& labels) const {
  const std::string bucket_name = absl::StrCat(name, "_bucket");
  std::map<double, double> buckets;
  for (const auto& sample : samples_) {
    const auto bound = sample.labels.find("le");
    double value = 0;
    if (sample.name != bucket_name || bound == sample.labels.end() || !HasLabels(sample, labels) ||
        !ParseNumber(bound->second, value)) {
      continue;
    }
    buckets[value] += sample.value;
  }
  Histogram histogram;
  for (const auto& [bound, count] : buckets) {
    histogram.bounds.push_back(bound);
    histogram.buckets.push_back(count);
  }
  histogram.sum = Sum(absl::StrCat(name, "_sum"), labels);
  histogram.count = Sum(absl::StrCat(name, "_count"), labels);
  return histogram;
}

std::vector<std::string> Scrape::Values(absl::string_view name, const std::string& label) const {
  std::set<std::string> values;
  for (const auto& sample : samples_) {
    const auto found = sample.labels.find(label);
    if (sample.name == name && sample.value > 0 && found != sample.labels.end()) values.insert(found->second);
  }
  return {values.begin(), values.end()};
}

absl::StatusOr<Scrape> FetchMetrics(const std::string& address) {
  httplib::Client http(absl::StartsWith(address, "http") ? address : absl::StrCat("http://", address));
  http.set_connection_timeout(5);
  http.set_read_timeout(5);
  const auto response = http.Get("/metrics");
  if (!response) {
    return absl::UnavailableError(absl::StrCat("no metrics at ", address, ": ", httplib::to_string(response.error()),
                                               " (attnd serves them at --metrics-listen)"));
  }
  if (response->status != 200) {
    return absl::UnavailableError(absl::StrCat("metrics at ", address, ": HTTP ", response->status));
  }
  auto samples = ParseMetrics(response->body);
  if (!samples.ok()) return samples.status();
  return Scrape(*std::move(samples));
}

}  // namespace attnd
