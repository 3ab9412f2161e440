// Logs: one logger, text or JSON lines, to standard error.
#ifndef ATTND_SERVER_OPS_LOG_H_
#define ATTND_SERVER_OPS_LOG_H_

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "spdlog/logger.h"

namespace attnd {

// One key and value of a line. Values never hold request text.
using LogField = std::pair<absl::string_view, std::variant<std::string, int64_t, double>>;

// Thread-safe.
class Log {
 public:
  enum class Format { kText, kJson };
  // `level`: "debug", "info", "warn", "error", "off". Writes to `out` where given (tests), else to standard error.
  explicit Log(Format format = Format::kText, absl::string_view level = "info", std::ostream* out = nullptr);

  // "2026-01-01T00:00:00.000Z info  event key=value ..." or {"time":..., "level":..., "event":..., "key":value}.
  void Write(spdlog::level::level_enum level, absl::string_view event, const std::vector<LogField>& fields = {});
  void Info(absl::string_view event, const std::vector<LogField>& fields = {}) {
    Write(spdlog::level::info, event, fields);
  }
  void Warn(absl::string_view event, const std::vector<LogField>& fields = {}) {
    Write(spdlog::level::warn, event, fields);
  }
  bool Enabled(spdlog::level::level_enum level) const { return logger_->should_log(level); }
  Format format() const { return format_; }

 private:
  const Format format_;
  const std::shared_ptr<spdlog::logger> logger_;
};

// Lets `per_second` lines through in each second and counts the others. Thread-safe.
class LogLimiter {
 public:
  explicit LogLimiter(int per_second) : per_second_(per_second) {}
  // Whether a line may be written at `now`; then `suppressed` is the number of lines kept back since the last one.
  bool Allow(absl::Time now, int64_t& suppressed) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const int per_second_;
  absl::Mutex mutex_;
  absl::Time second_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();  // start of the current second
  int in_second_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t suppressed_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_LOG_H_
