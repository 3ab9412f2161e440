// What a load measured, in a few numbers, and as table, Markdown, CSV or JSON.
#ifndef ATTND_CLIENT_BENCH_REPORT_H_
#define ATTND_CLIENT_BENCH_REPORT_H_

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/bench/generate_load.h"
#include "client/bench/load.h"
#include "client/io.h"

namespace attnd {

struct Percentiles {
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, p999 = 0, maximum = 0;
};
// Linear between the two nearest values; all 0 without values. Sorts.
Percentiles PercentilesOf(std::vector<double>& values);

// A time that was measured many times over.
struct BenchTime {
  std::string name;  // "latency", "first_token"; in milliseconds
  Percentiles percentiles;
  bool compared = false;  // whole by CompareReports, not its median alone
};

struct BenchReport {
  std::string load;  // "closed loop, 8 callers, 1 text a call"
  double seconds = 0;
  uint64_t calls = 0;                                 // that were answered well: all figures are of these
  std::map<std::string, uint64_t> errors;             // by code
  std::vector<std::pair<std::string, double>> rates;  // "calls_per_s"
  std::vector<BenchTime> times;
  std::string histogram;           // what `samples_ms` are of
  std::vector<double> samples_ms;  // sorted
};

// The call's latency and the server's stages; "transport" is the client's time less the server's whole one.
BenchReport MakeReport(const LoadSettings& settings, const LoadResult& result);
// Times to the first token, between tokens, and of whole answers.
BenchReport MakeReport(const GenerateSettings& settings, GenerateResult result);

std::string ReportTable(const BenchReport& report, const Io& io);  // with a histogram
std::string ReportMarkdown(const BenchReport& report);
std::string ReportCsv(const BenchReport& report);
std::string ReportJson(const BenchReport& report);
// Reads what ReportJson wrote and shows the change since. kInvalidArgument where `json` is no report.
absl::StatusOr<std::string> CompareReports(const std::string& json, const BenchReport& now);

// Sorted values in up to `bins` bins of equal ratio, a line each: range, bar, count.
std::string LatencyHistogram(const std::vector<double>& sorted, int bins, int width, bool ascii);

}  // namespace attnd

#endif  // ATTND_CLIENT_BENCH_REPORT_H_
