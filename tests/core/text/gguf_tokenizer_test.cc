// Tokenizers out of GGUF metadata against the libraries that made their vocabularies.
#include "core/text/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/text/tokenizer.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

struct Kind {
  explicit Kind(const nlohmann::json& json)
      : tokens(json.at("tokens")),
        merges(json.value("merges", std::vector<std::string>())),
        types(json.at("types")),
        scores(json.value("scores", std::vector<double>())) {
    vocabulary = {.model = json.at("model"),
                  .pre = json.at("pre"),
                  .tokens = tokens,
                  .types = types,
                  .merges = merges,
                  .scores = scores,
                  .add_space_prefix = json.value("add_space_prefix", true)};
  }
  std::vector<std::string> tokens, merges;
  std::vector<int64_t> types;
  std::vector<double> scores;
  GgufVocabulary vocabulary;
};

const nlohmann::json& Kinds() {
  static const auto* const kinds = [] {
    auto* json = new nlohmann::json();
    std::ifstream(ATTND_SOURCE_DIR "/tests/golden/gguf/tokenizers.json") >> *json;
    return json;
  }();
  return *kinds;
}

std::unique_ptr<Tokenizer> Make(const GgufVocabulary& vocabulary) {
  auto json = GgufTokenizerJson(vocabulary);
  EXPECT_TRUE(json.ok()) << json.status();
  auto tokenizer = Tokenizer::Parse(json.ok() ? *json : "", "x");
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

TEST(GgufTokenizerTest, IdsAreThoseOfTheLibraries) {
  ASSERT_EQ(Kinds().size(), 6u);
  for (const auto& json : Kinds()) {
    const Kind kind(json);
    const auto tokenizer = Make(kind.vocabulary);
    ASSERT_NE(tokenizer, nullptr);
    for (const auto& test : json.at("cases")) {
      const std::string text = test[0];
      SCOPED_TRACE(absl::StrCat(kind.vocabulary.model, " ", kind.vocabulary.pre, ": ", text));
      auto encoding = tokenizer->Encode(text, {});
      ASSERT_TRUE(encoding.ok()) << encoding.status();
      EXPECT_EQ(encoding->ids, test[1].get<std::vector<int32_t>>());
      EXPECT_EQ(tokenizer->Decode(encoding->ids, false).value(), text);
    }
  }
}

TEST(GgufTokenizerTest, BeginningAndEndTokensAreAddedWhereAsked) {
  Kind kind(Kinds()[4]);
  const auto plain = Make(kind.vocabulary)->Encode("Hello", {})->ids;
  kind.vocabulary.bos = 1;
  kind.vocabulary.eos = 2;
  auto encoding = Make(kind.vocabulary)->Encode("Hello", {});
  std::vector<int32_t> expected = {1};
  expected.insert(expected.end(), plain.begin(), plain.end());
  expected.push_back(2);
  EXPECT_EQ(encoding->ids, expected);
  EXPECT_EQ(encoding->special.front(), 1);
  EXPECT_EQ(Make(kind.vocabulary)->Encode("Hello", {.add_special_tokens = false})->ids, plain);
}

TEST(GgufTokenizerTest, FaultsAreNamed) {
  const auto message = [](int kind_index, const std::function<void(Kind&)>& spoil) {
    Kind kind(Kinds()[kind_index]);
    spoil(kind);
    auto json = GgufTokenizerJson(kind.vocabulary);
    EXPECT_FALSE(json.ok());
    return std::string(json.status().message());
  };
  EXPECT_THAT(message(0, [](Kind& k) { k.vocabulary.model = "bert"; }), HasSubstr("known are gpt2, llama"));
  EXPECT_THAT(message(0, [](Kind& k) { k.vocabulary.pre = "nobody"; }), HasSubstr("tokenizer.ggml.pre \"nobody\""));
  EXPECT_THAT(message(0, [](Kind& k) { k.vocabulary.tokens = {}; }), HasSubstr("has 0 tokens"));
  EXPECT_THAT(message(0, [](Kind& k) { k.vocabulary.types = k.vocabulary.types.subspan(1); }),
              HasSubstr("token_type has"));
  EXPECT_THAT(message(0, [](Kind& k) { k.tokens[5] = k.tokens[6]; }), HasSubstr("token 6 is there twice"));
  EXPECT_THAT(message(0, [](Kind& k) { k.tokens[5] = "\xff"; }), HasSubstr("tokenizer.ggml"));
  EXPECT_THAT(message(0, [](Kind& k) { k.tokens[5] = std::string(2000, 'x'); }), HasSubstr("has 2000 bytes"));
  EXPECT_THAT(message(0, [](Kind& k) { k.merges[3] = "ab"; }), HasSubstr("entry 3 is not two tokens"));
  EXPECT_THAT(message(0, [](Kind& k) { k.merges[3] = "zzz qqq"; }), HasSubstr("entry 3 names a token outside"));
  EXPECT_THAT(message(0, [](Kind& k) { k.vocabulary.bos = 420; }), HasSubstr("outside the vocabulary of 420"));
  EXPECT_THAT(message(4, [](Kind& k) { k.vocabulary.scores = {}; }), HasSubstr("scores has 0 entries"));
}

// Every way to cut a token into two others is a merge: few tokens have many, and long ones.
TEST(GgufTokenizerTest, MergesAreBounded) {
  std::vector<std::string> tokens;
  for (size_t size = 1; size <= 700; ++size) tokens.emplace_back(size, 'a');
  std::vector<double> scores(tokens.size(), 1.0);
  GgufVocabulary scored{.model = "llama", .tokens = tokens, .scores = scores};
  EXPECT_THAT(GgufTokenizerJson(scored).status().message(), HasSubstr("more than 67108864 bytes in the merges"));
  scored.tokens = scored.tokens.subspan(0, 300);
  scored.scores = scored.scores.subspan(0, 300);
  EXPECT_TRUE(GgufTokenizerJson(scored).ok());
  const std::vector<std::string> merges((size_t{1} << 21) + 1, "a a");
  const GgufVocabulary listed{.model = "gpt2", .pre = "gpt-2", .tokens = tokens, .merges = merges};
  EXPECT_THAT(GgufTokenizerJson(listed).status().message(), HasSubstr("more than 2097152 merges of tokens"));
}

}  // namespace
}  // namespace attnd
