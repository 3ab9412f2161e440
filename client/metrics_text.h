// The Prometheus text format, read; and quantiles of its histograms.
#ifndef ATTND_CLIENT_METRICS_TEXT_H_
#define ATTND_CLIENT_METRICS_TEXT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attnd {

struct MetricSample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;
};

// kInvalidArgument with the line's number where a line is no sample.
absl::StatusOr<std::vector<MetricSample>> ParseMetrics(absl::string_view text);

// A cumulative histogram: buckets[i] counts what is at most bounds[i]; the last bound is infinite.
struct Histogram {
  std::vector<double> bounds;
  std::vector<double> buckets;  // cumulative
  double sum = 0;
  double count = 0;

  double Mean() const { return count > 0 ? sum / count : 0; }
  // As Prometheus's histogram_quantile: linear inside the bucket, from 0 below the first bound; the largest finite
  // bound where the quantile lies beyond it. NaN without observations.
  double Quantile(double q) const;
  // What came since `earlier`, which has the same bounds; *this where it has not or the server started anew.
  Histogram Since(const Histogram& earlier) const;
};

// All samples of a server, to ask for sums.
class Scrape {
 public:
  explicit Scrape(std::vector<MetricSample> samples) : samples_(std::move(samples)) {}
  // Over the series that have these labels.
  double Sum(absl::string_view name, const std::map<std::string, std::string>& labels = {}) const;
  Histogram Merge(absl::string_view name, const std::map<std::string, std::string>& labels = {}) const;
  // The values of a label, sorted, of the series whose value is above 0.
  std::vector<std::string> Values(absl::string_view name, const std::string& label) const;
  const std::vector<MetricSample>& samples() const { return samples_; }

 private:
  std::vector<MetricSample> samples_;
};

// GET http://ADDRESS/metrics. kUnavailable naming the address where nothing answers.
absl::StatusOr<Scrape> FetchMetrics(const std::string& address);

}  // namespace attnd

#endif  // ATTND_CLIENT_METRICS_TEXT_H_
