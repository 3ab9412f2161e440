// What DecoderModel::Load makes of folders that are not as they should be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

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

}  // namespace
}  // namespace attnd
