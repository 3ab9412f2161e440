// The engine against the reference outputs of Hugging Face transformers (tests/golden/README.md).
#include "tests/golden/golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "core/base/cpu.h"
#include "core/engine/engine.h"
#include "core/ops/ukernel.h"

namespace attnd {
namespace {

constexpr auto kAlways = [] { return true; };

// Keeps every map of one sequence.
class Keep : public AttentionSink {
 public:
  Keep(int layers, int heads, int tokens)
      : heads_(heads), tokens_(tokens), maps(size_t{1} * layers * heads * tokens * tokens, -1.0f) {}
  bool Wants(int, int) const override { return true; }
  void Tile(const AttentionTile& tile) override {
    for (int q = 0; q < tile.query_count; ++q) {
      const float* row = tile.probabilities + q * tile.stride;
      float* to =
          maps.data() + ((size_t{1} * tile.layer * heads_ + tile.head) * tokens_ + tile.query_begin + q) * tokens_;
      std::copy(row, row + tile.key_count, to);
    }
  }

 private:
  const int heads_, tokens_;

 public:
  std::vector<float> maps;  // [layers, heads, tokens, tokens]
};

float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

std::unique_ptr<Model> LoadModel(const std::string& folder) {
  auto model = Model::Load(folder);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

class GoldenFolderTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenFolderTest, HiddenAndAttentionsAreWithin1e4) {
  const std::string folder = golden::Folder(GetParam());
  const auto model = LoadModel(folder);
  ASSERT_NE(model, nullptr);
  const ModelConfig& config = model->config;
  WorkTeam team(2);
  Engine engine(*model, team);
  const golden::Cases cases(folder + "/golden");
  ASSERT_EQ(cases.size(), 6u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::vector<int32_t> ids = cases.Ints(i, "ids");
    const int tokens = static_cast<int>(ids.size());
    std::vector<float> hidden(size_t{1} * tokens * config.hidden_size);
    Keep keep(config.layers, config.heads, tokens);
    const SequenceJob job = {.ids = ids, .sink = &keep, .last_hidden = hidden.data()};
    ASSERT_TRUE(Engine::Check(config, job.ids, job.type_ids).ok());
    ASSERT_TRUE(engine.Run({&job, 1}, kAlways).ok());
    EXPECT_LT(LargestDifference(hidden, cases.Floats(i, "hidden")), 1e-4);
    EXPECT_LT(LargestDifference(keep.maps, cases.Floats(i, "attentions")), 1e-4);
  }
}

INSTANTIATE_TEST_SUITE_P(Bert, GoldenFolderTest, ::testing::Values("bert", "bert-classify", "bert-token", "bert-mlm"));

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
