// all-MiniLM-L6-v2 through the engine, against the reference outputs of Hugging Face transformers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "core/ops/ukernel.h"
#include "tests/core/engine/engine_testing.h"
#include "tests/golden/golden.h"

namespace attnd {
namespace {

class MiniLmTest : public ::testing::Test {
 protected:
  MiniLmTest() : model(LoadModel(golden::MiniLmFolder())) {}
  std::vector<float> Embed(Engine& engine, const std::vector<int32_t>& ids) {
    std::vector<float> embedding(model->config.hidden_size);
    const SequenceJob job = {.ids = ids, .embedding = embedding.data()};
    EXPECT_TRUE(engine.Run({&job, 1}, kAlways).ok());
    return embedding;
  }
  std::unique_ptr<Model> model;
};

TEST_F(MiniLmTest, EmbeddingsAndAttentionsAreThoseOfTransformers) {
  ASSERT_NE(model, nullptr);
  WorkTeam team(2);
  Engine engine(*model, team);
  const golden::Cases cases(golden::Folder("real/minilm"));
  ASSERT_EQ(cases.size(), 40u);
  int with_maps = 0;
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::vector<int32_t> ids = cases.Ints(i, "ids");
    EXPECT_GE(Cosine(Embed(engine, ids), cases.Floats(i, "embedding")), 0.999999) << i;
    if (ids.size() > 24) continue;  // the reference holds maps of short texts only
    ++with_maps;
    Keep keep(model->config.layers, model->config.heads, static_cast<int>(ids.size()));
    const SequenceJob job = {.ids = ids, .sink = &keep};
    ASSERT_TRUE(engine.Run({&job, 1}, kAlways).ok());
    EXPECT_LT(LargestDifference(keep.maps, cases.Floats(i, "attentions")), 1e-4) << i;
  }
  EXPECT_GT(with_maps, 10);
}

TEST_F(MiniLmTest, BatchedIsSingleInEveryComposition) {
  ASSERT_NE(model, nullptr);
  WorkTeam team(2);
  Engine engine(*model, team);
  std::mt19937 random(11);
  const int width = model->config.hidden_size;
  const std::vector<int> sizes = {1, 2, 3, 7, 16, 64};
  for (const int size : sizes) {
    std::vector<std::vector<int32_t>> ids(size);
    for (auto& sequence : ids) {
      // Short ones are as frequent as long ones.
      const int most = 1 << std::uniform_int_distribution<int>(0, size > 16 ? 7 : 9)(random);
      sequence.resize(std::uniform_int_distribution<int>(1, std::min(most, model->config.max_tokens))(random));
      for (int32_t& id : sequence) id = std::uniform_int_distribution<int32_t>(0, model->config.vocab_size - 1)(random);
    }
    std::vector<float> together(size_t{1} * size * width);
    std::vector<SequenceJob> jobs;
    for (int i = 0; i < size; ++i) jobs.push_back({.ids = ids[i], .embedding = together.data() + i * width});
    ASSERT_TRUE(engine.Run(jobs, kAlways).ok());
    for (int i = 0; i < size; ++i) {
      const std::vector<float> row(together.begin() + i * width, together.begin() + (i + 1) * width);
      EXPECT_LT(LargestDifference(Embed(engine, ids[i]), row), 1e-5)
          << i << " of " << size << ", " << ids[i].size() << " tokens";
    }
  }
}

TEST_F(MiniLmTest, MatmulBackendAgrees) {
  ASSERT_NE(model, nullptr);
  WorkTeam team(1);
  Engine engine(*model, team);
  const std::vector<int32_t> ids = {101, 1996, 4937, 2938, 2006, 1996, 13523, 102};
  const std::vector<float> expected = Embed(engine, ids);
  ForceMatmulForTest(true);
  model = LoadModel(golden::MiniLmFolder());
  Engine other(*model, team);
  EXPECT_LT(LargestDifference(Embed(other, ids), expected), 1e-5);
  ForceMatmulForTest(false);
}

TEST_F(MiniLmTest, GivesUpBetweenLayers) {
  ASSERT_NE(model, nullptr);
  WorkTeam team(1);
  Engine engine(*model, team);
  const std::vector<int32_t> ids = {101, 102};
  std::vector<float> embedding(model->config.hidden_size);
  const SequenceJob job = {.ids = ids, .embedding = embedding.data()};
  int asked = 0;
  EXPECT_EQ(engine.Run({&job, 1}, [&] { return ++asked < 3; }).code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(asked, 3);
}

TEST_F(MiniLmTest, CheckNamesTheFault) {
  ASSERT_NE(model, nullptr);
  const ModelConfig& config = model->config;
  const auto message = [&](std::vector<int32_t> ids, std::vector<int32_t> types) {
    return std::string(Engine::Check(config, ids, types).message());
  };
  EXPECT_EQ(message({}, {}), "0 tokens, at least 1 is needed");
  EXPECT_EQ(message(std::vector<int32_t>(257, 5), {}), "257 tokens, the model takes 256");
  EXPECT_EQ(message({101, -1}, {}), "token 1 has id -1, the vocabulary has 0 to 30521");
  EXPECT_EQ(message({30522}, {}), "token 0 has id 30522, the vocabulary has 0 to 30521");
  EXPECT_EQ(message({1, 2}, {0}), "1 type ids for 2 tokens");
  EXPECT_EQ(message({1, 2}, {0, 2}), "token 1 has type id 2, the model has 0 to 1");
}

}  // namespace
}  // namespace attnd
