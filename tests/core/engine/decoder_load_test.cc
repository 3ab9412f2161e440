// What DecoderModel::Load makes of folders that are not as they should be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/cpu.h"
#include "core/engine/generation.h"
#include "core/model/decoder_model.h"
#include "tests/golden/golden.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

// A copy of a golden model to change.
class DecoderLoadTest : public testing::Test {
 protected:
  DecoderLoadTest() { folder_.LinkFilesOf(golden::Folder("llama")); }
  void Change(const std::string& name, const std::function<void(nlohmann::json&)>& change) const {
    nlohmann::json json;
    std::ifstream(folder_ / name) >> json;
    change(json);
    std::filesystem::remove(folder_ / name);  // a link
    std::ofstream(folder_ / name) << json;
  }

  const TempFolder folder_{"decoder_load"};
};

TEST_F(DecoderLoadTest, TokensBeyondTheVocabularyAreRefusedWhereAPromptHasOne) {
  Change("tokenizer.json", [](nlohmann::json& json) {
    nlohmann::json image = json["added_tokens"][0];
    image["id"] = 800;
    image["content"] = "<image_soft_token>";
    json["added_tokens"].push_back(image);
  });
  const auto model = DecoderModel::Load(folder_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->config().vocab_size, 800);
  const auto check = [&](const std::string& text) {
    return CheckGeneration({.prompt = (*model)->tokenizer->Encode(text, {})->ids}, (*model)->config());
  };
  EXPECT_TRUE(check("The cat").ok()) << check("The cat");
  EXPECT_THAT(check("The<image_soft_token> cat").message(), HasSubstr("prompt has id 800 at token "));
}

// A table of RoPE that the memory is too small for, while the tokenizer is being made on another thread.
TEST_F(DecoderLoadTest, TooLittleMemoryIsAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers map terabytes";
#endif
  constexpr int64_t kTable = int64_t{256} << 20;  // cosines alone
  Change("config.json", [](nlohmann::json& json) { json["max_position_embeddings"] = kTable / sizeof(float) / 8; });
  // A machine of many cores has many stacks to find room for.
  constexpr size_t kStack = size_t{512} << 10;
  pthread_attr_t usual, small;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(pthread_getattr_default_np(&small), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&small, kStack), 0);
  ASSERT_EQ(pthread_setattr_default_np(&small), 0);
  ASSERT_LT(AvailableCpus() * kStack, kTable / 2) << "stacks of threads take too much";
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(pages * getpagesize() + kTable * 3 / 4);
  ASSERT_EQ(setrlimit(RLIMIT_AS, &low), 0);
  const absl::Status status = DecoderModel::Load(folder_.path()).status();
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(status.message(), folder_.path().string() + ": there is not enough memory for the model");
}

}  // namespace
}  // namespace attnd
