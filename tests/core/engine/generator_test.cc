// Generation over tiny golden models: the tokens of the reference whatever runs beside.
#include "core/engine/generator.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/core/engine/generator_fixture.h"

namespace attnd {
namespace {

TEST_P(GeneratorTest, AllTogetherGiveTheReferencesTokens) {
  Generator generator(*decoder, *tokenizer, team, Options());
  std::vector<std::shared_ptr<Collect>> listeners;
  for (size_t i = 0; i < cases.size(); ++i) {
    listeners.push_back(Submit(generator, Request(i)));
    generator.Step();  // they come one after the other
  }
  while (generator.Step()) {
  }
  for (size_t i = 0; i < cases.size(); ++i) {
    golden::ExpectGreedyAnswer(cases, i, listeners[i]->Ids());
    EXPECT_EQ(listeners[i]->summary.reason, FinishReason::kLength);
  }
  EXPECT_EQ(generator.Stats().pages_used, 0);
  EXPECT_EQ(generator.Stats().generated_tokens, 24 * 6);
}

TEST_P(GeneratorTest, PreemptedChunkedAndSharedGiveTheSame) {
  GeneratorOptions options = Options(6);  // one takes 3 pages: six together must give way
  options.scheduler.max_sequences = 4;
  options.scheduler.step_tokens = 9;
  options.scheduler.prompt_tokens_beside_decoding = 3;
  Generator generator(*decoder, *tokenizer, team, options);
  std::vector<std::shared_ptr<Collect>> listeners;
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < cases.size(); ++i) listeners.push_back(Submit(generator, Request(i), i % 4));
  }
  while (generator.Step()) {
  }
  for (size_t i = 0; i < listeners.size(); ++i) {
    golden::ExpectGreedyAnswer(cases, i % cases.size(), listeners[i]->Ids());
  }
  EXPECT_GT(generator.Stats().preemptions, 0);

  // The whole of an answer as a prompt: its pages are known, at most 16 tokens and one are computed.
  GenerationRequest longer = Request(0);
  const std::vector<int32_t> all = cases.Ints(0, "greedy");
  Generator fresh(*decoder, *tokenizer, team, Options());
  const std::vector<int32_t> alone = Finish(fresh, Request(0))->Ids();
  longer.prompt.assign(all.begin(), all.begin() + 34);
  longer.min_tokens = longer.max_tokens = 2;
  const auto shared = Finish(fresh, longer);
  EXPECT_EQ(shared->summary.shared_tokens, 32);
  EXPECT_EQ(shared->Ids()[0], alone[22]);
}

TEST_P(GeneratorTest, AttentionOfEachTokenIsItsRowOfTheWholeMap) {
  const std::vector<int32_t> ids = cases.Ints(0, "ids");
  GenerationRequest request = Request(0);
  Generator generator(*decoder, *tokenizer, team, Options());
  const std::vector<int32_t> answer = Finish(generator, request)->Ids();
  std::vector<int32_t> all = request.prompt;
  all.insert(all.end(), answer.begin(), answer.end() - 1);
  const int tokens = static_cast<int>(all.size());
  golden::KeepMaps whole(decoder->config(), tokens), rows(decoder->config(), tokens), every(decoder->config(), tokens);
  golden::Growing(*decoder, KvType::kF32, 256).Step(team, all, 0, &whole);

  request.attention = &rows;
  EXPECT_EQ(Finish(generator, request)->Ids(), answer);
  request.attention = &every;
  request.prompt_attention = {0, 12};
  EXPECT_EQ(Finish(generator, request)->Ids(), answer);
  EXPECT_LT(golden::LargestDifference(every.maps, whole.maps), 1e-5);
  for (size_t i = 0; i < whole.maps.size(); ++i) {
    const size_t row = i / tokens % tokens;
    if (row + 1 < request.prompt.size()) {
      ASSERT_EQ(rows.maps[i], 0.0f);  // rows of the prompt were not asked for
    } else {
      ASSERT_NEAR(rows.maps[i], whole.maps[i], 1e-5);
    }
  }
}

TEST_P(GeneratorTest, AnAnswerIsBitByBitTheSameWithItsAttention) {
  Generator blind(*decoder, *tokenizer, team, Options()), seeing(*decoder, *tokenizer, team, Options());
  for (size_t i = 0; i < cases.size(); ++i) {
    GenerationRequest request = Request(i);
    request.logprobs = 0;
    const auto expected = Finish(blind, request);
    golden::KeepMaps maps(decoder->config(), static_cast<int>(request.prompt.size()) + request.max_tokens);
    request.attention = &maps;
    const auto result = Finish(seeing, request);
    ASSERT_EQ(result->Ids(), expected->Ids());
    for (size_t t = 0; t < result->tokens.size(); ++t) {
      EXPECT_EQ(result->tokens[t].logprob, expected->tokens[t].logprob) << t;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GeneratorTest, ::testing::Values("llama", "mistral", "gpt2", "gemma3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace attnd
