#include "core/engine/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "core/ops/logits.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Probabilities 0.5, 0.25, 0.15, 0.07, 0.03 of tokens 0 to 4.
std::vector<float> Logits() {
  std::vector<float> logits;
  for (const double p : {0.5, 0.25, 0.15, 0.07, 0.03}) logits.push_back(static_cast<float>(std::log(p) + 3));
  return logits;
}

// How often each token comes, of many.
std::map<int32_t, double> Shares(const SamplingOptions& options, std::vector<float> logits = Logits(),
                                 std::vector<int32_t> forbidden = {}) {
  Sampler sampler(options, {});
  std::map<int32_t, double> shares;
  constexpr int kTimes = 20000;
  for (int i = 0; i < kTimes; ++i) {
    std::vector<float> copy = logits;
    shares[sampler.Sample(i, absl::MakeSpan(copy), forbidden)] += 1.0 / kTimes;
  }
  return shares;
}

std::set<int32_t> Kept(const SamplingOptions& options) {
  std::set<int32_t> kept;
  for (const auto& [id, share] : Shares(options)) kept.insert(id);
  return kept;
}

TEST(SamplerTest, FollowsTheDistribution) {
  const auto shares = Shares({.seed = 3});
  EXPECT_NEAR(shares.at(0), 0.5, 0.015);
  EXPECT_NEAR(shares.at(1), 0.25, 0.015);
  EXPECT_NEAR(shares.at(2), 0.15, 0.015);
  EXPECT_NEAR(shares.at(3), 0.07, 0.01);
  EXPECT_NEAR(shares.at(4), 0.03, 0.01);
}

TEST(SamplerTest, TemperatureSharpensAndFlattens) {
  const auto sharp = Shares({.temperature = 0.5f});  // squares
  EXPECT_NEAR(sharp.at(0), 0.25 / (0.25 + 0.0625 + 0.0225 + 0.0049 + 0.0009), 0.015);
  const auto flat = Shares({.temperature = 100.0f});
  EXPECT_NEAR(flat.at(4), 0.2, 0.02);
  EXPECT_EQ(Shares({.temperature = 0}).size(), 1u);
  EXPECT_EQ(Shares({.temperature = 1e-30f}).size(), 1u);
}

TEST(SamplerTest, ATemperatureWithoutAnInverseIsZero) {
  constexpr float kLeast = std::numeric_limits<float>::denorm_min();
  EXPECT_THAT(Kept({.temperature = kLeast}), ElementsAre(0));
  EXPECT_THAT(Kept({.temperature = 1e-39f, .top_k = 3, .top_p = 0.9f, .min_p = 0.1f, .typical_p = 0.9f}),
              ElementsAre(0));
  EXPECT_THAT(Kept({.temperature = std::numeric_limits<float>::min()}), ElementsAre(0));
}

TEST(SamplerTest, CutsKeepWhatTheySay) {
  EXPECT_THAT(Kept({.top_k = 2}), ElementsAre(0, 1));
  EXPECT_THAT(Kept({.top_k = 100}), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(Kept({.top_p = 0.5f}), ElementsAre(0));
  EXPECT_THAT(Kept({.top_p = 0.6f}), ElementsAre(0, 1));
  EXPECT_THAT(Kept({.top_p = 0.95f}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Kept({.top_p = 1e-6f}), ElementsAre(0));
  EXPECT_THAT(Kept({.min_p = 0.3f}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Kept({.min_p = 1.0f}), ElementsAre(0));
  // Entropy 1.27 nats: -log p - entropy is 0.12 for token 1, 0.57 for 0, 0.63 for 2.
  EXPECT_THAT(Kept({.typical_p = 0.2f}), ElementsAre(1));
  EXPECT_THAT(Kept({.typical_p = 0.7f}), ElementsAre(0, 1));
  // top_k first: of 0.5 and 0.25 the first alone reaches 0.6.
  EXPECT_THAT(Kept({.top_k = 2, .top_p = 0.6f}), ElementsAre(0));
  const auto shares = Shares({.top_k = 2});
  EXPECT_NEAR(shares.at(0), 2.0 / 3, 0.015);
}

TEST(SamplerTest, SeedsDecideAndNothingElse) {
  const auto run = [](uint64_t seed) {
    Sampler sampler({.seed = seed}, {});
    std::vector<int32_t> tokens;
    for (int i = 0; i < 40; ++i) {
      std::vector<float> logits = Logits();
      tokens.push_back(sampler.Sample(i, absl::MakeSpan(logits), {}));
    }
    return tokens;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
  // A token depends on its number, not on how many were asked before.
  Sampler sampler({.seed = 1}, {});
  std::vector<float> logits = Logits();
  EXPECT_EQ(sampler.Sample(17, absl::MakeSpan(logits), {}), run(1)[17]);
}

TEST(SamplerTest, PenaltiesLookAtPromptAndAnswer) {
  const std::vector<int32_t> prompt = {0};
  std::vector<float> logits = {2, 1.5f, -1};
  Sampler repetition({.repetition_penalty = 2, .temperature = 0}, prompt);
  EXPECT_EQ(repetition.Sample(0, absl::MakeSpan(logits), {}), 1);
  EXPECT_THAT(logits, ElementsAre(1, 1.5f, -1));
  repetition.Accept(2);
  logits = {2, 1.5f, -1};
  repetition.Sample(1, absl::MakeSpan(logits), {});
  EXPECT_THAT(logits, ElementsAre(1, 1.5f, -2));

  Sampler others({.presence_penalty = 1, .frequency_penalty = 0.5f, .logit_bias = {{2, 10}}, .temperature = 0}, prompt);
  logits = {2, 1.5f, -1};
  EXPECT_EQ(others.Sample(0, absl::MakeSpan(logits), {}), 2);
  EXPECT_THAT(logits, ElementsAre(2, 1.5f, 9));  // the prompt counts for neither
  others.Accept(1);
  others.Accept(1);
  logits = {2, 1.5f, -1};
  others.Sample(2, absl::MakeSpan(logits), {});
  EXPECT_THAT(logits, ElementsAre(2, -0.5f, 9));
}

TEST(SamplerTest, ForbiddenIdsNeverCome) {
  EXPECT_THAT(Shares({.top_k = 1}, Logits(), {0}), ElementsAre(::testing::Pair(1, ::testing::DoubleNear(1, 1e-9))));
  const auto shares = Shares({}, Logits(), {0, 1});
  EXPECT_FALSE(shares.contains(0) || shares.contains(1));
}

TEST(SamplerTest, LogprobsAreOfTheModelsDistribution) {
  const std::vector<float> logits = Logits();
  EXPECT_NEAR(LogprobOf(logits, 2), std::log(0.15), 1e-5);
  const auto top = TopLogprobs(logits, LogSumExp(logits), 2);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].id, 0);
  EXPECT_NEAR(top[1].logprob, std::log(0.25), 1e-5);
  EXPECT_EQ(TopLogprobs(logits, LogSumExp(logits), 50).size(), 5u);
}

TEST(SamplerTest, CheckNamesOptionAndLimits) {
  const auto message = [](const SamplingOptions& options) { return std::string(CheckSampling(options, 10).message()); };
  EXPECT_TRUE(CheckSampling({}, 10).ok());
  EXPECT_THAT(message({.temperature = -1}), HasSubstr("temperature is -1, must be from 0 to 100"));
  EXPECT_THAT(message({.temperature = std::numeric_limits<float>::quiet_NaN()}), HasSubstr("temperature"));
  EXPECT_THAT(message({.top_k = -1}), HasSubstr("top_k is -1"));
  EXPECT_THAT(message({.top_p = 0}), HasSubstr("top_p is 0, must be above 0, at most 1"));
  EXPECT_THAT(message({.min_p = 1.5f}), HasSubstr("min_p"));
  EXPECT_THAT(message({.typical_p = 0}), HasSubstr("typical_p"));
  EXPECT_THAT(message({.repetition_penalty = 0}), HasSubstr("repetition_penalty"));
  EXPECT_THAT(message({.presence_penalty = 3}), HasSubstr("presence_penalty is 3, must be from -2 to 2"));
  EXPECT_THAT(message({.frequency_penalty = -3}), HasSubstr("frequency_penalty"));
  EXPECT_THAT(message({.logit_bias = {{10, 1.0f}}}), HasSubstr("logit_bias names token 10, the vocabulary has 0 to 9"));
  EXPECT_THAT(message({.logit_bias = {{1, 1000.0f}}}), HasSubstr("logit_bias is 1000"));
}

}  // namespace
}  // namespace attnd
