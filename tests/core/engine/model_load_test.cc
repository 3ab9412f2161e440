// What Model::Load makes of folders: sentence-transformers modules, precisions, and folders that it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "tests/core/engine/engine_testing.h"
#include "tests/golden/encoders.h"
#include "tests/golden/golden.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

TEST(SentenceTest, EmbedsAsSentenceTransformersDo) {
  const std::string folder = golden::Folder("sentence");
  const auto model = LoadModel(folder);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config.embedding_size, 40);
  EXPECT_EQ(model->config.max_tokens, 20);
  EXPECT_EQ(model->config.default_prompt_name, "document");
  WorkTeam team(2);
  Engine engine(*model, team);
  const golden::Cases cases(folder + "/golden");
  ASSERT_EQ(cases.size(), 6u);
  std::vector<std::vector<int32_t>> ids;
  std::vector<std::vector<float>> together(cases.size(), std::vector<float>(40));
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string prompt = model->config.prompts.at(cases.json.at("cases").at(i).at("prompt_name"));
    const auto encoding =
        model->tokenizer->Encode(prompt + cases.Text(i), {.max_tokens = 20, .truncate = Truncate::kEnd});
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    ids.push_back(encoding->ids);
  }
  std::vector<SequenceJob> jobs;
  for (size_t i = 0; i < cases.size(); ++i) {
    jobs.push_back({.ids = ids[i], .embedding = together[i].data()});
    std::vector<float> alone(40);
    const SequenceJob job = {.ids = ids[i], .embedding = alone.data()};
    ASSERT_TRUE(engine.Run({&job, 1}, kAlways).ok());
    EXPECT_LT(LargestDifference(alone, cases.Floats(i, "embedding")), 1e-5) << i;
  }
  ASSERT_TRUE(engine.Run(jobs, kAlways).ok());
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_LT(LargestDifference(together[i], cases.Floats(i, "embedding")), 1e-5) << i;
  }
}

// How far each precision may stray is measured elsewhere; here every architecture runs in it.
TEST(PrecisionTest, EveryEncoderRunsInEach) {
  for (const char* name : golden::kEncoders) {
    const std::string folder = golden::Folder(name);
    const golden::Cases cases(folder + "/golden");
    const std::vector<int32_t> ids = cases.Ints(0, "ids"), types = cases.Ints(0, "type_ids");
    for (const auto& [precision, least] :
         std::vector<std::pair<Precision, double>>{{Precision::kBf16, 0.999}, {Precision::kInt8, 0.97}}) {
      auto model = Model::Load(folder, precision);
      ASSERT_TRUE(model.ok()) << model.status();
      WorkTeam team(1);
      Engine engine(**model, team);
      std::vector<float> hidden(ids.size() * (*model)->config.hidden_size);
      const SequenceJob job = {.ids = ids, .type_ids = types, .last_hidden = hidden.data()};
      ASSERT_TRUE(engine.Run({&job, 1}, kAlways).ok());
      EXPECT_GT(Cosine(hidden, cases.Floats(0, "hidden")), least) << name << " " << PrecisionName(precision);
    }
  }
}

// A copy of a golden model to break.
class BrokenFolderTest : public ::testing::Test {
 protected:
  BrokenFolderTest()
      : folder_(std::filesystem::temp_directory_path() / ("attnd-model-load-" + std::to_string(getpid()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::copy(golden::Folder("bert"), folder_, std::filesystem::copy_options::recursive);
  }
  ~BrokenFolderTest() override { std::filesystem::remove_all(folder_); }
  void Set(const std::string& file, const std::string& key, const nlohmann::json& value) {
    nlohmann::json json = nlohmann::json::object();
    if (std::ifstream in(folder_ / file); in) in >> json;
    json[key] = value;
    std::ofstream(folder_ / file) << json;
  }
  std::string Fault() {
    const auto model = Model::Load(folder_.string());
    return std::string(model.status().message());
  }
  const std::filesystem::path folder_;
};

TEST_F(BrokenFolderTest, AnUnknownTypeListsWhatIsKnown) {
  Set("config.json", "model_type", "mamba");
  EXPECT_EQ(Fault(),
            "model_type \"mamba\" is not known; known: bert, distilbert, roberta, xlm-roberta, camembert, mpnet, "
            "electra, albert, modernbert");
}

TEST_F(BrokenFolderTest, AHeadThatIsNotThereIsNamed) {
  Set("config.json", "architectures", {"BertForSequenceClassification"});
  EXPECT_THAT(Fault(), HasSubstr("model.safetensors: tensor 'bert.pooler.dense.weight' is missing (the head that "
                                 "config.json's architectures names: BertForSequenceClassification)"));
}

TEST_F(BrokenFolderTest, PicklesAreRefusedWithTheWayOut) {
  std::filesystem::rename(folder_ / "model.safetensors", folder_ / "pytorch_model.bin");
  EXPECT_THAT(Fault(),
              HasSubstr("pytorch_model.bin: not read, since a pickle runs code when it is loaded; convert it"));
}

TEST_F(BrokenFolderTest, LowerCaseIsTheTokenizers) {
  Set("sentence_bert_config.json", "do_lower_case", true);
  EXPECT_TRUE(Model::Load(folder_.string()).ok());  // this tokenizer lower-cases
  std::filesystem::copy(golden::Folder("roberta") + "/tokenizer.json", folder_ / "tokenizer.json",
                        std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(Fault(), HasSubstr("do_lower_case of the sentence-transformers config is true, but tokenizer.json does "
                                 "not lower-case; give it a Lowercase normalizer"));
}

TEST_F(BrokenFolderTest, TheMaskTokenIsFound) {
  std::filesystem::copy(golden::Folder("bert-mlm"), folder_,
                        std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  const auto mask = [&] { return Model::Load(folder_.string()).value()->mask_token_id; };
  EXPECT_EQ(mask(), 4);
  Set("tokenizer_config.json", "mask_token", {{"content", "the"}});
  EXPECT_EQ(mask(), Model::Load(folder_.string()).value()->tokenizer->TokenId("the"));
  Set("tokenizer_config.json", "mask_token", nullptr);
  EXPECT_EQ(mask(), 4);
  Set("tokenizer_config.json", "mask_token", "no such token");
  EXPECT_THAT(Fault(), HasSubstr("tokenizer_config.json: mask_token is not in the vocabulary"));
}

}  // namespace
}  // namespace attnd
