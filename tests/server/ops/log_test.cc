#include "server/ops/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace attnd {
namespace {

using ::testing::HasSubstr;

TEST(LogTest, TextLines) {
  std::ostringstream out;
  Log log(Log::Format::kText, "info", &out);
  log.Info("call", {{"code", "OK"}, {"tokens", int64_t{12}}, {"ms", 0.5}, {"peer", "a b\n"}});
  EXPECT_THAT(out.str(), HasSubstr("info    call code=OK tokens=12 ms=0.5 peer=\"a b\\u000a\"\n"));
}

TEST(LogTest, JsonLinesAreJsonWhateverTheValue) {
  std::ostringstream out;
  Log log(Log::Format::kJson, "info", &out);
  log.Warn("refused", {{"peer", "quote\" back\\ line\n \xff"}, {"bytes", int64_t{-1}}, {"ms", 1.25}});
  const std::string line = out.str();
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  const nlohmann::json json = nlohmann::json::parse(line);
  EXPECT_EQ(json["level"], "warning");
  EXPECT_EQ(json["event"], "refused");
  EXPECT_EQ(json["bytes"], -1);
  EXPECT_EQ(json["ms"], 1.25);
  EXPECT_THAT(json["peer"].get<std::string>(), HasSubstr("quote\" back\\ line\n "));
}

TEST(LogTest, LevelsBelowAreSilent) {
  std::ostringstream out;
  Log log(Log::Format::kText, "warn", &out);
  log.Info("call");
  EXPECT_EQ(out.str(), "");
  EXPECT_FALSE(log.Enabled(spdlog::level::info));
  log.Warn("refused");
  EXPECT_NE(out.str(), "");
}

TEST(LogTest, TheLimiterCountsWhatItKeepsBack) {
  LogLimiter limiter(2);
  const absl::Time start = absl::FromUnixSeconds(1000);
  int64_t suppressed = -1;
  EXPECT_TRUE(limiter.Allow(start, suppressed));
  EXPECT_EQ(suppressed, 0);
  EXPECT_TRUE(limiter.Allow(start, suppressed));
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(limiter.Allow(start + absl::Milliseconds(999), suppressed));
  EXPECT_TRUE(limiter.Allow(start + absl::Seconds(1), suppressed));
  EXPECT_EQ(suppressed, 5);
}

}  // namespace
}  // namespace attnd
