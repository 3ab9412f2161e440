// attn stats: what the server's metrics say, like `top`.
#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/metrics_text.h"
#include "client/render/server_stats.h"
#include "client/verbs/verb.h"

namespace attnd {
namespace {

constexpr char kStatsExamples[] = R"(  attn stats
  attn stats --once
  attn stats --once --json | jq .stages.compute.p99_ms

Quantiles are interpolated in the buckets of the server's histograms. --once: since the server's start; otherwise the first
picture is, and each later one is of the interval before it.)";

struct StatsOptions {
  std::string metrics = "127.0.0.1:9464";
  bool once = false;
  bool json = false;
  double interval_s = 2;
};

double UnixSeconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

int Run(VerbContext& context, const StatsOptions& options) {
  Io& io = context.io;
  std::optional<Scrape> earlier;
  auto earlier_time = std::chrono::steady_clock::now();
  int lines = 0;
  for (;;) {
    auto scrape = FetchMetrics(options.metrics);
    if (!scrape.ok()) return context.Fail(scrape.status());
    const auto time = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(time - earlier_time).count();
    const ServerStats stats = Summarize(*scrape, earlier ? &*earlier : nullptr, seconds, UnixSeconds());
    if (options.json) {
      io.out << StatsJson(stats);
    } else {
      const std::string title =
          earlier ? absl::StrFormat("attnd %s, the last %.1f s (Ctrl-C ends)", options.metrics, stats.seconds)
                  : absl::StrFormat("attnd %s, the %.0f s since its start", options.metrics, stats.seconds);
      const std::string text = StatsText(stats, title, io);
      // Over the last picture, which stays when this one is the last.
      if (io.out_terminal && lines > 0) io.out << "\x1b[" << lines << "F\x1b[J";
      io.out << text;
      lines = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    }
    io.out.flush();
    if (options.once || !io.out) return kExitOk;
    earlier = *std::move(scrape);
    earlier_time = time;
    std::this_thread::sleep_for(std::chrono::duration<double>(options.interval_s));
  }
}

}  // namespace

void AddStats(CLI::App& app, VerbContext& context) {
  auto options = std::make_shared<StatsOptions>();
  CLI::App* verb = AddVerb(app, context, "stats", "Rates and latencies of the server, from its metrics", kStatsExamples,
                           [&context, options] { return Run(context, *options); });
  verb->add_option("--metrics", options->metrics, "Address of the metrics")
      ->envname("ATTN_METRICS")
      ->capture_default_str();
  verb->add_flag("--once", options->once, "One picture, since the server's start");
  verb->add_flag("--json", options->json, "As JSON, a line a picture");
  verb->add_option("--interval", options->interval_s, "Seconds between pictures")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
}

}  // namespace attnd
