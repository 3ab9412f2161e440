// Generations within a grammar: whatever the model, the seed and the temperature, the text keeps to it.
#include "core/engine/constraint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/model/gguf_model.h"
#include "tests/core/engine/generator_testing.h"
#include "tests/golden/decoder_golden.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

constexpr char kPet[] = R"({"type": "object", "properties": {
  "name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "minimum": 0, "maximum": 99},
  "tags": {"type": "array", "items": {"enum": ["small", "wild", "old"]}, "maxItems": 3}},
  "required": ["name", "age", "tags"], "additionalProperties": false})";

void ExpectPet(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  ASSERT_TRUE(json.is_object()) << text;
  ASSERT_EQ(json.size(), 3u) << text;
  EXPECT_TRUE(json.at("name").is_string()) << text;
  ASSERT_TRUE(json.at("age").is_number_integer()) << text;
  EXPECT_TRUE(json.at("age") >= 0 && json.at("age") <= 99) << text;
  EXPECT_LE(json.at("tags").size(), 3u) << text;
}

class ConstraintTest : public ::testing::TestWithParam<const char*> {
 protected:
  ConstraintTest()
      : decoder(golden::LoadDecoder(golden::Folder(GetParam()))),
        tokenizer(golden::LoadTokenizer(golden::Folder(GetParam()))),
        team(2) {}

  GeneratorOptions Options(int pages = 400) const {
    return {.kv_bytes = pages * KvPages::BytesPerPage(decoder->kv_shape(KvType::kF32))};
  }
  GenerationRequest Request(std::shared_ptr<const Grammar> grammar, uint64_t seed, float temperature) const {
    return {.prompt = {5, 6, static_cast<int32_t>(7 + seed), 8},
            .sampling = {.temperature = temperature, .seed = seed},
            .max_tokens = 200,
            .grammar = std::move(grammar)};
  }
  std::shared_ptr<const Grammar> Schema(const char* schema) const {
    return Grammar::FromJsonSchema(*tokenizer, schema).value();
  }
  std::shared_ptr<const Grammar> Regex(const char* regex) const {
    return Grammar::FromRegex(*tokenizer, regex).value();
  }

  const std::unique_ptr<Decoder> decoder;
  const std::unique_ptr<Tokenizer> tokenizer;
  WorkTeam team;
};

TEST_P(ConstraintTest, AnswersKeepToTheSchema) {
  Generator generator(*decoder, *tokenizer, team, Options());
  const auto grammar = Schema(kPet);
  std::vector<std::shared_ptr<Collect>> answers;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    for (const float temperature : {0.0f, 1.0f, 50.0f}) {
      answers.push_back(SubmitTo(generator, Request(grammar, seed, temperature)));
    }
  }
  while (generator.Step()) {
  }
  for (const auto& answer : answers) {
    EXPECT_EQ(answer->summary.reason, FinishReason::kStop) << answer->summary.status << answer->text;
    ExpectPet(answer->text);
    for (const int32_t id : answer->Ids()) EXPECT_GT(id, 2);  // no special token, nor an end token: nothing may follow
  }
}

TEST_P(ConstraintTest, PreemptedAnswersAreTheSame) {
  Generator roomy(*decoder, *tokenizer, team, Options());
  Generator tight(*decoder, *tokenizer, team, Options(16));
  const auto grammar = Schema(kPet);
  std::vector<std::shared_ptr<Collect>> expected, answers;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    expected.push_back(SubmitTo(roomy, Request(grammar, seed, 1)));
    answers.push_back(SubmitTo(tight, Request(grammar, seed, 1)));
  }
  while (roomy.Step() || tight.Step()) {
  }
  EXPECT_EQ(roomy.Stats().preemptions, 0);
  EXPECT_GT(tight.Stats().preemptions, 0);
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i]->text, expected[i]->text);
    ExpectPet(answers[i]->text);
  }
}

TEST_P(ConstraintTest, EndTokensEndWhereTheTextIsWhole) {
  Generator generator(*decoder, *tokenizer, team, Options());
  const int32_t end = decoder->config().eos_ids[0];
  const std::regex whole("[ab]{4,40}");
  GenerationRequest request = Request(Regex("[ab]{4,40}"), 1, 1);
  request.sampling.logit_bias = {{end, 100.0f}};  // ends as soon as it may
  auto answer = FinishIn(generator, request);
  EXPECT_EQ(answer->summary.reason, FinishReason::kStop);
  EXPECT_EQ(answer->Ids().back(), end);
  EXPECT_TRUE(std::regex_match(answer->text, whole)) << answer->text;
  EXPECT_LT(answer->text.size(), 20u);
  // Not before min_tokens.
  request.min_tokens = 12;
  answer = FinishIn(generator, request);
  EXPECT_TRUE(std::regex_match(answer->text, whole)) << answer->text;
  EXPECT_GE(answer->tokens.size(), 12u);
  // Ignored, it ends nothing and is no text: the answer goes on to the end of the grammar.
  request.min_tokens = 0;
  request.ignore_eos = true;
  answer = FinishIn(generator, request);
  EXPECT_EQ(answer->summary.reason, FinishReason::kStop);
  EXPECT_EQ(answer->text.size(), 40u);
  EXPECT_TRUE(std::regex_match(answer->text, whole)) << answer->text;
  for (const int32_t id : answer->Ids()) EXPECT_NE(id, end);
  // max_tokens ends it anywhere.
  request.max_tokens = 2;
  EXPECT_EQ(FinishIn(generator, request)->summary.reason, FinishReason::kLength);
}

TEST_P(ConstraintTest, StopStringsAndTheGrammarsEndGiveAllText) {
  Generator generator(*decoder, *tokenizer, team, Options());
  GenerationRequest request = Request(Regex("xyz{6}!"), 1, 1);
  request.stop_strings = {"!?"};  // held back, then shown at the end
  auto answer = FinishIn(generator, request);
  EXPECT_EQ(answer->text, "xyzzzzzz!");
  EXPECT_EQ(answer->summary.reason, FinishReason::kStop);
  request.stop_strings = {"zz"};
  EXPECT_EQ(FinishIn(generator, request)->text, "xy");
}

TEST_P(ConstraintTest, TheEmptyTextAndDeadEndsEndAtOnce) {
  Generator generator(*decoder, *tokenizer, team, Options());
  auto answer = FinishIn(generator, Request(Regex(""), 1, 1));
  EXPECT_EQ(answer->summary.reason, FinishReason::kStop);
  EXPECT_TRUE(answer->tokens.empty());
  // The only text of the grammar is a stop id: it ends the answer where it may not end.
  GenerationRequest request = Request(Regex("ab"), 1, 1);
  request.stop_ids = {tokenizer->TokenId("a"), tokenizer->TokenId("ab")};
  answer = FinishIn(generator, request);
  EXPECT_EQ(answer->summary.reason, FinishReason::kFailed);
  EXPECT_THAT(answer->summary.status.message(), HasSubstr("none of the model's tokens"));
  EXPECT_EQ(generator.Stats().pages_used, 0);
}

TEST_P(ConstraintTest, LogprobsStayTheModels) {
  Generator generator(*decoder, *tokenizer, team, Options());
  GenerationRequest request = Request(Regex("[0-9]{8}"), 1, 0);
  request.logprobs = 2;
  const auto answer = FinishIn(generator, request);
  EXPECT_TRUE(std::regex_match(answer->text, std::regex("[0-9]{8}"))) << answer->text;
  for (const GeneratedToken& token : answer->tokens) {
    ASSERT_EQ(token.top.size(), 2u);
    EXPECT_TRUE(std::isfinite(token.logprob));
    EXPECT_LE(token.logprob, token.top[0].logprob);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ConstraintTest, ::testing::Values("llama", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

TEST(ConstraintOfSmolLm2Test, AnswersAPromptAsJson) {
  const auto file = GgufFile::Open(golden::SmolLm2File()).value();
  const auto tokenizer = LoadGgufTokenizer(*file).value();
  const auto chat = LoadGgufChatTemplate(*file).value();
  const auto decoder = Decoder::Make(LoadGgufConfig(*file).value(), *file, CheckpointNames::kGguf).value();
  WorkTeam team(2);
  Generator generator(*decoder, *tokenizer, team, {});
  const ChatMessage message = {"user", "Describe a pet cat as JSON with its name, age and tags."};
  const std::vector<int32_t> prompt =
      tokenizer->Encode(chat->Render({&message, 1}, true).value(), {.add_special_tokens = false})->ids;
  const auto schema = Grammar::FromJsonSchema(*tokenizer, kPet).value();
  const auto date = Grammar::FromRegex(*tokenizer, "(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]").value();
  std::vector<std::shared_ptr<Collect>> pets, dates;
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const float temperature = 0.8f * static_cast<float>(seed);
    pets.push_back(SubmitTo(generator, {.prompt = prompt,
                                        .sampling = {.temperature = temperature, .seed = seed},
                                        .max_tokens = 120,
                                        .grammar = schema}));
    dates.push_back(SubmitTo(
        generator,
        {.prompt = prompt, .sampling = {.temperature = temperature, .seed = seed}, .max_tokens = 40, .grammar = date}));
  }
  while (generator.Step()) {
  }
  for (const auto& pet : pets) {
    EXPECT_EQ(pet->summary.reason, FinishReason::kStop) << pet->summary.status;
    ExpectPet(pet->text);
  }
  for (const auto& answer : dates) {
    EXPECT_TRUE(std::regex_match(answer->text, std::regex("(19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]"))) << answer->text;
  }
}

}  // namespace
}  // namespace attnd
