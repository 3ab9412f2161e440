#include "server/ops/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/temp_files.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

ParseResult Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "attnd");
  return ParseConfig(static_cast<int>(arguments.size()), arguments.data());
}

// An environment variable for the length of a test.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Environment() { unsetenv(name_); }

 private:
  const char* name_;
};

std::string WriteFile(const std::string& text) {
  const std::string path = TempPath("config.toml");
  std::ofstream(path) << text;
  return path;
}

TEST(ConfigTest, DefaultsNeedNothing) {
  const ParseResult result = Parse({});
  ASSERT_TRUE(result.config.has_value()) << result.output;
  EXPECT_TRUE(result.config->models.empty());
  EXPECT_EQ(result.config->listen, "127.0.0.1:50051");
  EXPECT_EQ(result.config->metrics_listen, "127.0.0.1:9464");
  EXPECT_EQ(result.config->queue.max_batch_tokens, 1024);
  EXPECT_EQ(result.config->queue.max_queue_delay_us, 0);
  EXPECT_EQ(result.config->limits.max_texts_per_call, 4096);
  EXPECT_EQ(result.config->generation.lookup_tokens, 8);
}

TEST(ConfigTest, LookupTokensHaveALimit) {
  const ParseResult off = Parse({"--lookup-tokens", "0"});
  ASSERT_TRUE(off.config.has_value()) << off.output;
  EXPECT_EQ(off.config->generation.lookup_tokens, 0);
  const ParseResult many = Parse({"--lookup-tokens", "33"});
  EXPECT_FALSE(many.config.has_value());
  EXPECT_THAT(many.output, HasSubstr("--lookup-tokens"));
}

TEST(ConfigTest, ModelsRepeat) {
  const ParseResult result = Parse({"--model", "a=/models/a,precision=f32", "--model", "b.2=/x=y"});
  ASSERT_TRUE(result.config.has_value()) << result.output;
  ASSERT_EQ(result.config->models.size(), 2u);
  EXPECT_EQ(result.config->models[0].name, "a");
  EXPECT_EQ(result.config->models[0].folder, "/models/a");
  EXPECT_EQ(result.config->models[1].folder, "/x=y");
}

TEST(ConfigTest, TheCommandLineBeatsTheEnvironmentBeatsTheFile) {
  const std::string file =
      WriteFile("model = [\"m=/file\"]\nmax-batch-tokens = 1\nworkers = 1\nmax-text-bytes = \"2KiB\"\n");
  const Environment batch("ATTND_MAX_BATCH_TOKENS", "2"), workers("ATTND_WORKERS", "2");
  const Environment models("ATTND_MODEL", "x=/one;y=/two"), access("ATTND_ACCESS_LOG", "true");
  const ParseResult result = Parse({"--config", file.c_str(), "--workers=3"});
  ASSERT_TRUE(result.config.has_value()) << result.output;
  EXPECT_EQ(result.config->workers, 3);
  EXPECT_EQ(result.config->queue.max_batch_tokens, 2);
  EXPECT_EQ(result.config->limits.max_text_bytes, 2048);
  ASSERT_EQ(result.config->models.size(), 2u);
  EXPECT_EQ(result.config->models[1].folder, "/two");
  EXPECT_TRUE(result.config->access_log);
}

TEST(ConfigTest, AConfigurationFileAlone) {
  const std::string file = WriteFile("model = [\"m=/file\", \"n=/other\"]\naccess-log = true\nlog-format = \"json\"\n");
  const ParseResult result = Parse({"--config", file.c_str()});
  ASSERT_TRUE(result.config.has_value()) << result.output;
  ASSERT_EQ(result.config->models.size(), 2u);
  EXPECT_TRUE(result.config->access_log);
  EXPECT_TRUE(result.config->log_json);
}

struct BadCase {
  std::vector<const char*> arguments;
  const char* message;
};

TEST(ConfigTest, BadValuesNameTheFlagAndTheRange) {
  const std::string unknown_key = WriteFile("bogus = 1\n");
  const BadCase cases[] = {
      {{"--workers", "5000"}, "--workers: Value 5000 not in range [0 - 1024]"},
      {{"--max-batch-tokens", "abc"}, "--max-batch-tokens: Value abc not in range [1 - 1048576]"},
      {{"--max-batch-tokens", "0"}, "--max-batch-tokens"},
      {{"--max-text-bytes", "-3"}, "--max-text-bytes: Value -3 is not a size in [1 - 1073741824]"},
      {{"--max-message-bytes", "4TiB"}, "--max-message-bytes: Value 4TiB is not a size in [1024 - 2147483647]"},
      {{"--log-format", "xml"}, "--log-format"},
      {{"--bogus"}, "--bogus"},
      {{"--config", "/does/not/exist"}, "/does/not/exist"},
      {{"--config", unknown_key.c_str()}, "bogus"},
      {{"--model", "a=/x", "extra"}, "extra"},
      {{"--model", "nodir"}, "NAME=DIR"},
      {{"--model", "a b=/x"}, "the name"},
      {{"--model", "a="}, "NAME=DIR"},
      {{"--model", "a=/x,precision=f16"}, "is none of f32, bf16, int8, auto"},
      {{"--model", "a=/x,speed=9"}, "unknown key \"speed\""},
      {{"--model", "a=/x", "--model", "a=/y"}, "given twice"},
      {{"--max-queue-tokens", "10"}, "--max-queue-tokens is below --max-batch-tokens"},
  };
  for (const BadCase& bad : cases) {
    const ParseResult result = Parse(bad.arguments);
    EXPECT_FALSE(result.config.has_value()) << bad.message;
    EXPECT_EQ(result.exit_code, 2) << bad.message;
    EXPECT_THAT(result.output, HasSubstr(bad.message));
  }
}

// As deploy/kubernetes gives it.
TEST(ConfigTest, SizesOfTheEnvironmentTakeUnits) {
  const Environment memory("ATTND_MAX_ATTENTION_MEMORY_BYTES", "384MiB");
  const ParseResult result = Parse({});
  ASSERT_TRUE(result.config.has_value()) << result.output;
  EXPECT_EQ(result.config->limits.max_attention_memory_bytes, int64_t{384} << 20);
}

TEST(ConfigTest, ABadEnvironmentVariableIsAnError) {
  const Environment batch("ATTND_MAX_BATCH_TOKENS", "0");
  const ParseResult result = Parse({});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.output, HasSubstr("--max-batch-tokens: Value 0 not in range"));
}

TEST(ConfigTest, HelpTellsUnitDefaultAndEnvironmentOfEachOption) {
  const ParseResult result = Parse({"--help"});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* line : {"--max-queue-delay-us MICROSECONDS:INT in [0 - 1000000] [0]  (Env:ATTND_MAX_QUEUE_DELAY_US)",
                           "--max-batch-tokens TOKENS:INT in [1 - 1048576] [1024]  (Env:ATTND_MAX_BATCH_TOKENS)",
                           "--max-text-bytes BYTES:in [1 - 1073741824] [131072]  (Env:ATTND_MAX_TEXT_BYTES)",
                           "--listen HOST:PORT [127.0.0.1:50051]  (Env:ATTND_LISTEN)"}) {
    EXPECT_THAT(result.output, HasSubstr(line));
  }
  EXPECT_EQ(Parse({"--version"}).output, "attnd 0.1.0\n");
}

}  // namespace
}  // namespace attnd
