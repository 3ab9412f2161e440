#include "server/ops/runtime_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace attnd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

ClientMetric Sample(MetricType type, double value) {
  ClientMetric metric;
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return metric;
}

MetricFamily Single(std::string name, std::string help, MetricType type, double value) {
  return {std::move(name), std::move(help), type, {Sample(type, value)}};
}

std::string ReadFile(const char* path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

double OpenDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int count = -1;  // opendir's own descriptor
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

double BootUnixSeconds() {
  for (absl::string_view line : absl::StrSplit(ReadFile("/proc/stat"), '\n')) {
    if (absl::StartsWith(line, "btime ")) return std::stod(std::string(line.substr(6)));
  }
  return 0;
}

}  // namespace

std::vector<MetricFamily> ProcessMetrics::Collect() const {
  std::vector<MetricFamily> families;
  // "pid (name) state ppid ...": the name may hold anything, so fields count from the last parenthesis; field 3 is
  // `state`.
  const std::string stat = ReadFile("/proc/self/stat");
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(std::min(stat.size(), stat.rfind(')') + 2)), ' ');
  if (fields.size() > 21) {
    const auto field = [&](int number) { return std::stod(fields[number - 3]); };
    static const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    static const double page_bytes = static_cast<double>(sysconf(_SC_PAGESIZE));
    static const double boot = BootUnixSeconds();
    families.push_back(Single("process_cpu_seconds_total", "CPU time, user and system.", MetricType::Counter,
                              (field(14) + field(15)) / ticks));
    families.push_back(Single("process_threads", "Threads.", MetricType::Gauge, field(20)));
    families.push_back(
        Single("process_start_time_seconds", "Start, since the epoch.", MetricType::Gauge, boot + field(22) / ticks));
    families.push_back(Single("process_virtual_memory_bytes", "Address space.", MetricType::Gauge, field(23)));
    families.push_back(
        Single("process_resident_memory_bytes", "Memory in RAM.", MetricType::Gauge, field(24) * page_bytes));
  }
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    families.push_back(Single("process_max_fds", "Descriptors that may be open.", MetricType::Gauge,
                              static_cast<double>(limit.rlim_cur)));
  }
  families.push_back(Single("process_open_fds", "Open descriptors.", MetricType::Gauge, OpenDescriptors()));
  return families;
}

ServingMetrics::ServingMetrics(const Batcher& batcher, const ModelRegistry& models,
                               const MemoryBudget& attention_memory, std::function<int64_t()> connections)
    : batcher_(batcher), models_(models), attention_memory_(attention_memory), connections_(std::move(connections)) {}

std::vector<MetricFamily> ServingMetrics::Collect() const {
  MetricFamily tokens{"attnd_queue_tokens", "Tokens that wait for a worker.", MetricType::Gauge, {}};
  MetricFamily requests{"attnd_queue_requests", "Texts that wait for a worker.", MetricType::Gauge, {}};
  MetricFamily oldest{"attnd_queue_oldest_seconds", "How long the oldest text has waited.", MetricType::Gauge, {}};
  MetricFamily running{"attnd_generations_running", "Answers that are being computed.", MetricType::Gauge, {}};
  MetricFamily waiting{
      "attnd_generations_waiting", "Answers that wait to be begun, or to go on.", MetricType::Gauge, {}};
  MetricFamily pages{"attnd_kv_pages", "Pages of keys and values, of 16 tokens each.", MetricType::Gauge, {}};
  MetricFamily used{"attnd_kv_pages_used", "Of them those that answers hold.", MetricType::Gauge, {}};
  std::vector<ServedModelPtr> models = models_.models();
  models.push_back(models_.attention());
  for (const ServedModelPtr& model : models) {
    const auto add = [&](MetricFamily& family, double value) {
      family.metric.push_back(Sample(MetricType::Gauge, value));
      family.metric.back().label.push_back({"model", model->name});
    };
    if (model->is_decoder()) {
      const GeneratorStats stats = model->decoder->generator().Stats();
      add(tokens, static_cast<double>(stats.waiting_tokens));
      add(requests, stats.waiting);
      add(running, stats.running);
      add(waiting, stats.waiting);
      add(pages, stats.pages);
      add(used, stats.pages_used);
      continue;
    }
    const QueueStats stats = batcher_.Stats(*model->queue);
    add(tokens, static_cast<double>(stats.tokens));
    add(requests, static_cast<double>(stats.requests));
    add(oldest, absl::ToDoubleSeconds(stats.oldest));
  }
  return {tokens,
          requests,
          oldest,
          running,
          waiting,
          pages,
          used,
          Single("attnd_attention_memory_bytes", "Memory that calls hold for attention maps and scores of tokens.",
                 MetricType::Gauge, static_cast<double>(attention_memory_.used_bytes())),
          Single("attnd_attention_memory_limit_bytes", "The most that they may hold together.", MetricType::Gauge,
                 static_cast<double>(attention_memory_.limit_bytes())),
          Single("attnd_connections", "Open connections.", MetricType::Gauge, static_cast<double>(connections_()))};
}

}  // namespace attnd
