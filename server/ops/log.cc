#include "server/ops/log.h"

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace attnd {
namespace {

// A JSON string, quotes included. Bytes that are not printable ASCII are escaped, so that a line stays a line.
std::string Quote(absl::string_view text) {
  std::string out = "\"";
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c >= 0x7f) {
      absl::StrAppendFormat(&out, "\\u%04x", c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

bool IsPlain(absl::string_view text) {
  if (text.empty()) return false;
  for (const unsigned char c : text) {
    if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\') return false;
  }
  return true;
}

std::string Value(const std::variant<std::string, int64_t, double>& value, bool json) {
  if (const auto* text = std::get_if<std::string>(&value)) return !json && IsPlain(*text) ? *text : Quote(*text);
  if (const auto* integer = std::get_if<int64_t>(&value)) return absl::StrCat(*integer);
  const double number = std::get<double>(value);
  return std::isfinite(number) ? absl::StrCat(number) : "null";
}

}  // namespace

Log::Log(Format format, absl::string_view level, std::ostream* out)
    : format_(format),
      logger_(out != nullptr
                  ? std::make_shared<spdlog::logger>("attnd", std::make_shared<spdlog::sinks::ostream_sink_mt>(*out))
                  : std::make_shared<spdlog::logger>("attnd", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  logger_->set_pattern("%v");
  logger_->set_level(spdlog::level::from_str(std::string(level)));
  logger_->flush_on(spdlog::level::warn);
}

void Log::Write(spdlog::level::level_enum level, absl::string_view event, const std::vector<LogField>& fields) {
  if (!logger_->should_log(level)) return;
  const std::string time = absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::Now(), absl::UTCTimeZone());
  const auto name = spdlog::level::to_string_view(level);
  const absl::string_view level_name(name.data(), name.size());
  std::string line;
  if (format_ == Format::kJson) {
    line = absl::StrCat("{\"time\":\"", time, "\",\"level\":\"", level_name, "\",\"event\":", Quote(event));
    for (const auto& [key, value] : fields) absl::StrAppend(&line, ",", Quote(key), ":", Value(value, true));
    line += "}";
  } else {
    line = absl::StrFormat("%s %-7s %s", time, level_name, event);
    for (const auto& [key, value] : fields) absl::StrAppend(&line, " ", key, "=", Value(value, false));
  }
  logger_->log(level, line);
}

bool LogLimiter::Allow(absl::Time now, int64_t& suppressed) {
  absl::MutexLock lock(&mutex_);
  if (now >= second_ + absl::Seconds(1)) {
    second_ = now;
    in_second_ = 0;
  }
  if (in_second_ >= per_second_) {
    ++suppressed_;
    return false;
  }
  ++in_second_;
  suppressed = suppressed_;
  suppressed_ = 0;
  return true;
}

}  // namespace attnd
