// Drafts out of the text change how many steps an answer takes, and nothing else of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/attention/token_rows.h"
#include "core/engine/generator.h"
#include "tests/core/engine/generator_testing.h"
#include "tests/golden/decoder_golden.h"

namespace attnd {
namespace {

// A request, when it comes, whether its client looks at the attention, and after how many tokens it goes.
struct Plan {
  std::vector<GenerationRequest> answers;  // to one prompt
  int step = 0;
  bool looks = false;
  size_t leaves = 1 << 30;
};

// Looks at the rows of some heads when its token comes.
class Look : public Collect {
 public:
  explicit Look(const DecoderConfig& config)
      : rows(*HeadSelection::Parse("0-1:0,0-1:2", config.layers, config.heads), config.max_tokens) {}
  void OnToken(const GeneratedToken& token) override {
    Collect::OnToken(token);
    for (int i = 0; rows.position() >= 0 && i < rows.selection().size(); ++i) {
      seen.emplace_back(rows.Row(i).begin(), rows.Row(i).end());
    }
  }

  TokenRows rows;
  std::vector<std::vector<float>> seen;  // [tokens * heads], [position + 1] each; none where it is not a sink
};

struct Outcome {
  std::vector<std::shared_ptr<Look>> answers;
  GeneratorStats stats;
  int most_rows = 0;
};

class GeneratorLookupTest : public ::testing::TestWithParam<const char*> {
 protected:
  GeneratorLookupTest()
      : decoder(golden::LoadDecoder(golden::Folder(GetParam()))),
        tokenizer(golden::LoadTokenizer(golden::Folder(GetParam()))),
        team(2) {
    // Answers that repeat themselves, in part or all the time.
    for (const char* regex : {"(abc ){5,60}", "([ab]c ){5,60}", "[a-e ]{9,200}"}) {
      grammars.push_back(Grammar::FromRegex(*tokenizer, regex).value());
    }
  }

  Plan Draw(std::mt19937& random) const {
    const auto pick = [&](int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); };
    GenerationRequest request{.max_tokens = 1 + pick(60)};
    const int period = 1 + pick(12), first = pick(3);  // beginnings are shared
    for (int t = 1 + pick(70); t > 0; --t) request.prompt.push_back(5 + first * 20 + t % period);
    request.sampling.seed = pick(1000);
    request.sampling.temperature = pick(2) == 0 ? 0.0f : 0.1f + 0.3f * static_cast<float>(pick(4));
    if (pick(3) == 0) request.sampling.top_k = 1 + pick(3);
    if (pick(4) == 0) request.sampling.repetition_penalty = 1.2f;
    if (pick(4) == 0) request.sampling.frequency_penalty = 0.3f;
    if (pick(4) == 0) request.sampling.presence_penalty = -0.5f;
    if (pick(3) == 0) request.sampling.logit_bias = {{40, 20.0f}, {41, 20.0f + static_cast<float>(pick(2))}};
    if (pick(3) == 0) request.min_tokens = pick(request.max_tokens + 1);
    if (pick(3) == 0) request.ignore_eos = true;
    if (pick(4) == 0) request.stop_ids = {40 + pick(3)};
    if (pick(4) == 0) request.stop_strings = {pick(2) == 0 ? "ab" : "c a"};
    if (pick(3) == 0) request.grammar = grammars[pick(static_cast<int>(grammars.size()))];
    if (pick(2) == 0) request.logprobs = pick(4);
    if (pick(5) == 0) request.prompt_logprobs = true;
    Plan plan{.answers = {}, .step = pick(120)};
    for (int n = pick(4) == 0 ? 3 : 1; n > 0; --n) {
      plan.answers.push_back(request);
      ++request.sampling.seed;
    }
    if (pick(6) == 0) plan.leaves = pick(30);
    plan.looks = pick(2) == 0;
    return plan;
  }

  Outcome Run(const std::vector<Plan>& plans, GeneratorOptions options, int lookup) {
    Outcome outcome;
    options.lookup_tokens = lookup;
    options.observe = [&](const GeneratorStep& step) {
      outcome.most_rows = std::max(outcome.most_rows, step.tokens + step.drafted_tokens - step.accepted_tokens);
    };
    Generator generator(*decoder, *tokenizer, team, options);
    std::vector<std::vector<std::shared_ptr<Look>>> of_plans(plans.size());
    bool works = true;
    for (int step = 0; works || step < 121; ++step) {
      for (size_t i = 0; i < plans.size(); ++i) {
        if (plans[i].step != step) continue;
        std::vector<Generation> all;
        for (GenerationRequest request : plans[i].answers) {
          EXPECT_TRUE(generator.Check(request).ok()) << generator.Check(request);
          of_plans[i].push_back(std::make_shared<Look>(decoder->config()));
          if (plans[i].looks) request.attention = &of_plans[i].back()->rows;
          all.push_back({request, of_plans[i].back(), i % 3});
        }
        EXPECT_TRUE(generator.SubmitAll(std::move(all), /*after_first=*/true).ok());
      }
      works = generator.Step();
      for (size_t i = 0; i < plans.size(); ++i) {
        for (const auto& answer : of_plans[i]) answer->wanted = answer->tokens.size() < plans[i].leaves;
      }
    }
    for (const auto& answers : of_plans) outcome.answers.insert(outcome.answers.end(), answers.begin(), answers.end());
    outcome.stats = generator.Stats();
    EXPECT_EQ(outcome.stats.pages_used, 0);
    EXPECT_EQ(outcome.stats.running + outcome.stats.waiting, 0);
    return outcome;
  }

  const std::unique_ptr<Decoder> decoder;
  const std::unique_ptr<Tokenizer> tokenizer;
  WorkTeam team;
  std::vector<std::shared_ptr<const Grammar>> grammars;
};

// Those behind token `token`.
void SameRows(const Look& with, const Look& without, size_t token) {
  ASSERT_EQ(with.seen.empty(), without.seen.empty());
  if (with.seen.empty()) return;
  const size_t heads = with.rows.selection().size();
  for (size_t i = token * heads; i < (token + 1) * heads; ++i) {
    ASSERT_THAT(with.seen[i], ::testing::Pointwise(::testing::FloatNear(1e-4), without.seen[i]));
    ASSERT_EQ(with.seen[i].size(), with.seen[0].size() + token);
  }
}

// True where both gave the same. Of cancelled ones either may have more.
bool Same(const Look& with, const Look& without) {
  EXPECT_TRUE(with.ended && without.ended);
  const bool cut = without.summary.reason == FinishReason::kCancelled;
  const size_t both = std::min(with.tokens.size(), without.tokens.size());
  for (size_t t = 0; t < both; ++t) {
    const GeneratedToken &a = with.tokens[t], &b = without.tokens[t];
    if (a.id != b.id) return false;
    SameRows(with, without, t);
    EXPECT_NEAR(a.logprob, b.logprob, 1e-3);
    EXPECT_EQ(a.top.size(), b.top.size());
    for (size_t i = 0; i < std::min(a.top.size(), b.top.size()); ++i) {
      EXPECT_NEAR(a.top[i].logprob, b.top[i].logprob, 1e-3);
    }
    if (cut) continue;
    EXPECT_EQ(a.text, b.text);
    EXPECT_EQ(a.last, b.last);
  }
  if (cut) return true;
  EXPECT_EQ(with.Ids(), without.Ids());
  EXPECT_EQ(with.text, without.text);
  EXPECT_EQ(with.summary.reason, without.summary.reason);
  EXPECT_EQ(with.summary.status, without.summary.status);
  EXPECT_EQ(with.summary.generated_tokens, without.summary.generated_tokens);
  EXPECT_EQ(with.summary.prompt_logprobs.size(), without.summary.prompt_logprobs.size());
  return true;
}

TEST_P(GeneratorLookupTest, TheSameTokensInFewerSteps) {
  int64_t answers = 0, rounding = 0, steps_with = 0, steps_without = 0, drafted = 0, accepted = 0, preempted = 0;
  for (uint32_t seed = 0; seed < 12; ++seed) {
    std::mt19937 random(seed);
    std::vector<Plan> plans;
    for (int i = 0; i < 16; ++i) plans.push_back(Draw(random));
    const int pages = seed % 3 == 0 ? 12 : 300;
    const GeneratorOptions options{
        .scheduler = {.max_sequences = seed % 2 == 0 ? 4 : 64, .step_tokens = 24, .prompt_tokens_beside_decoding = 10},
        .kv_bytes = pages * KvPages::BytesPerPage(decoder->kv_shape(KvType::kF32))};
    const Outcome with = Run(plans, options, 1 + static_cast<int>(seed) % 9), without = Run(plans, options, 0);
    ASSERT_EQ(with.answers.size(), without.answers.size());
    for (size_t i = 0; i < with.answers.size(); ++i) {
      rounding += Same(*with.answers[i], *without.answers[i]) ? 0 : 1;
      ASSERT_FALSE(HasFailure()) << "seed " << seed << " answer " << i;
    }
    EXPECT_LE(with.most_rows, 24);
    EXPECT_EQ(without.stats.drafted_tokens, 0);
    answers += static_cast<int64_t>(with.answers.size());
    steps_with += with.stats.steps;
    steps_without += without.stats.steps;
    drafted += with.stats.drafted_tokens;
    accepted += with.stats.accepted_tokens;
    preempted += with.stats.preemptions;
  }
  EXPECT_LE(rounding, answers / 100);  // a close call, in a row computed beside others
  EXPECT_GT(accepted, 500);
  EXPECT_GT(drafted, accepted);
  EXPECT_GT(preempted, 0);
  EXPECT_LT(steps_with, steps_without);
}

TEST_P(GeneratorLookupTest, MapsOfTheAnswerHaveNothingOfRefusedDrafts) {
  GenerationRequest request{.prompt = {5, 6, 7, 5, 6, 7, 5, 6, 7}, .sampling = {.temperature = 0}, .max_tokens = 40};
  request.grammar = grammars[1];
  const int tokens = 9 + 40;
  std::vector<float> maps[2];
  for (const int lookup : {0, 8}) {
    GeneratorOptions options{.kv_bytes = 50 * KvPages::BytesPerPage(decoder->kv_shape(KvType::kF32))};
    options.lookup_tokens = lookup;
    Generator generator(*decoder, *tokenizer, team, options);
    golden::KeepMaps keep(decoder->config(), tokens);
    request.attention = &keep;
    request.prompt_attention = {0, 9};
    FinishIn(generator, request);
    EXPECT_EQ(generator.Stats().drafted_tokens > generator.Stats().accepted_tokens, lookup > 0);
    maps[lookup / 8] = std::move(keep.maps);
  }
  EXPECT_THAT(maps[1], ::testing::Pointwise(::testing::FloatNear(1e-4), maps[0]));
}

TEST_P(GeneratorLookupTest, TokensSayHowManyFollowAtOnce) {
  GenerationRequest request{.prompt = {5, 6, 7}, .sampling = {.temperature = 0}, .max_tokens = 60};
  request.grammar = grammars[0];
  const GeneratorOptions options{.kv_bytes = 50 * KvPages::BytesPerPage(decoder->kv_shape(KvType::kF32))};
  Generator generator(*decoder, *tokenizer, team, options);
  const auto listener = SubmitTo(generator, request);
  int most = 0;
  for (size_t before = 0; generator.Step(); before = listener->tokens.size()) {
    const size_t count = listener->tokens.size();
    for (size_t t = before; t < count; ++t) EXPECT_EQ(listener->tokens[t].more, static_cast<int>(count - 1 - t));
    most = std::max(most, static_cast<int>(count - before));
  }
  EXPECT_EQ(most, 9);  // eight drafts, and the token after them
}

INSTANTIATE_TEST_SUITE_P(Families, GeneratorLookupTest, ::testing::Values("llama", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace attnd
