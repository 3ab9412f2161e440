// Embeddings out of a generator whose model has Dense modules.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/model/dense.h"
#include "tests/core/engine/generator_testing.h"
#include "tests/golden/decoder_golden.h"
#include "tests/golden/dense_module.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

class GeneratorEmbeddingTest : public ::testing::Test {
 protected:
  GeneratorEmbeddingTest() {
    first_.Write(folder_ / "2_Dense");
    second_.Write(folder_ / "3_Dense");
    dense_ = DenseModules::Load(
                 folder_.path(),
                 {.dense = {{.path = "2_Dense", .inputs = 96, .outputs = 130},
                            {.path = "3_Dense", .inputs = 130, .outputs = 20, .activation = Activation::kNone}}})
                 .value();
  }

  // By the reference's hidden states.
  std::vector<float> Expected(size_t i, HiddenPooling pooling) const {
    const std::vector<float> hidden = cases_.Floats(i, "hidden");  // [tokens, 96]
    if (pooling == HiddenPooling::kLast) return second_.Of(first_.Of({hidden.end() - 96, hidden.end()}));
    std::vector<float> mean(96, 0.0f);
    for (size_t h = 0; h < hidden.size(); ++h) mean[h % 96] += hidden[h] * 96 / static_cast<float>(hidden.size());
    return second_.Of(first_.Of(mean));
  }
  static HiddenPooling PoolingOf(size_t i) { return i % 2 == 0 ? HiddenPooling::kLast : HiddenPooling::kMean; }
  GenerationRequest Request(size_t i) const {
    return {.prompt = cases_.Ints(i, "ids"), .max_tokens = 0, .embedding = PoolingOf(i)};
  }

  const std::string model_ = golden::Folder("qwen3");
  const std::unique_ptr<Decoder> decoder_ = golden::LoadDecoder(model_);
  const std::unique_ptr<Tokenizer> tokenizer_ = golden::LoadTokenizer(model_);
  const golden::Cases cases_{model_ + "/golden"};
  const golden::DenseModule first_{96, 130, /*tanh=*/true, 1};
  const golden::DenseModule second_{130, 20, /*tanh=*/false, 2};
  const TempFolder folder_{"generator_embedding"};
  DenseModules dense_;
  WorkTeam team_{2};
};

TEST_F(GeneratorEmbeddingTest, GoesThroughTheDenseModulesAloneAndTogether) {
  ASSERT_EQ(dense_.outputs(), 20);
  EXPECT_GE(dense_.bytes(), static_cast<int64_t>((96 * 130 + 130 * 20) * sizeof(float)));
  // Chunks of few tokens end some prompts in one step and others later.
  for (const int step_tokens : {512, 16}) {
    Generator generator(*decoder_, *tokenizer_, team_, {.scheduler = {.step_tokens = step_tokens}}, &dense_);
    std::vector<std::shared_ptr<Collect>> all;
    for (size_t i = 0; i < cases_.size(); ++i) all.push_back(SubmitTo(generator, Request(i)));
    while (generator.Step()) {
    }
    for (size_t i = 0; i < cases_.size(); ++i) {
      ASSERT_TRUE(all[i]->ended);
      EXPECT_LT(golden::LargestDifference(all[i]->summary.embedding, Expected(i, PoolingOf(i))), 1e-3) << i;
    }
    const auto alone = FinishIn(generator, Request(0));
    EXPECT_LT(golden::LargestDifference(alone->summary.embedding, all[0]->summary.embedding), 1e-4);
  }
}

TEST_F(GeneratorEmbeddingTest, OnceOfAnAnswerThatGoesOn) {
  Generator generator(*decoder_, *tokenizer_, team_, {}, &dense_);
  GenerationRequest request = Request(1);
  request.max_tokens = request.min_tokens = 5;
  const auto answer = FinishIn(generator, request);
  EXPECT_EQ(answer->tokens.size(), 5u);
  EXPECT_LT(golden::LargestDifference(answer->summary.embedding, Expected(1, PoolingOf(1))), 1e-3);
}

TEST_F(GeneratorEmbeddingTest, APromptMayFillTheCache) {
  constexpr int kTokens = 2 * KvPages::kTokens;
  Generator generator(*decoder_, *tokenizer_, team_,
                      {.kv_bytes = 2 * KvPages::BytesPerPage(decoder_->kv_shape(KvType::kF32))});
  GenerationRequest request{.prompt = std::vector<int32_t>(kTokens, 5), .max_tokens = 0, .prompt_logprobs = true};
  const auto filling = SubmitTo(generator, request), next = SubmitTo(generator, request);
  for (int i = 0; i < 10; ++i) generator.Step();
  EXPECT_TRUE(filling->ended);
  EXPECT_TRUE(next->ended);
  EXPECT_EQ(filling->summary.prompt_logprobs.size(), kTokens - 1u);
  request.prompt.push_back(5);
  EXPECT_EQ(generator.Check(request).message(), "prompt has 33 tokens, the cache has room for 32");
}

TEST_F(GeneratorEmbeddingTest, NoneWhereNoneIsAskedFor) {
  Generator generator(*decoder_, *tokenizer_, team_, {}, &dense_);
  GenerationRequest request = Request(0);
  request.embedding = HiddenPooling::kNone;
  EXPECT_TRUE(FinishIn(generator, request)->summary.embedding.empty());
}

}  // namespace
}  // namespace attnd
