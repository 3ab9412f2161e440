// Grammars over a real byte-level vocabulary: random walks through them give whole texts, and bad or hostile ones are
// refused.
#include "core/text/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>
#include <string>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

class GrammarTest : public ::testing::Test {
 protected:
  // Any token that may follow, until the text ends.
  std::string Walk(const Grammar& grammar, uint32_t seed, int most = 400) const {
    std::mt19937 random(seed);
    auto state = GrammarState::Start(grammar);
    EXPECT_TRUE(state.ok()) << state.status();
    std::vector<int32_t> ids;
    for (int step = 0; step < most && !(*state)->finished(); ++step) {
      std::vector<int32_t> possible;
      for (int32_t id = 0; id < tokenizer->vocabulary_size(); ++id) {
        if ((*state)->Allows(id)) possible.push_back(id);
      }
      if ((*state)->may_end() && random() % 4 == 0) break;
      ids.push_back(possible[random() % possible.size()]);
      EXPECT_GT(ids.back(), 2) << "a special token";
      const absl::Status accepted = (*state)->Accept(ids.back());
      EXPECT_TRUE(accepted.ok()) << accepted;
    }
    EXPECT_TRUE((*state)->may_end());
    return tokenizer->Decode(ids, /*skip_special_tokens=*/false).value();
  }
  std::string SchemaFault(const std::string& schema) const {
    auto grammar = Grammar::FromJsonSchema(*tokenizer, schema);
    EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument) << schema;
    return std::string(grammar.status().message());
  }
  std::string RegexFault(const std::string& regex) const {
    auto grammar = Grammar::FromRegex(*tokenizer, regex);
    EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument) << regex;
    return std::string(grammar.status().message());
  }

  const std::unique_ptr<Tokenizer> tokenizer =
      Tokenizer::Load(ATTND_SOURCE_DIR "/tests/golden/llama/tokenizer.json").value();
};

TEST_F(GrammarTest, WalksThroughARegexMatchIt) {
  for (const char* pattern :
       {"[a-z]{3,12}", "(yes|no|perhaps)", "\\d{4}-\\d{2}-\\d{2}", "a+b?(cd)*", "[A-Z][a-z]+ \\w{1,5}",
        "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,3})?", "/\\*[a-z ]{0,20}\\*/"}) {
    auto grammar = Grammar::FromRegex(*tokenizer, pattern);
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    for (uint32_t seed = 0; seed < 30; ++seed) {
      const std::string text = Walk(**grammar, seed);
      // \d and \w are Unicode's for the grammar.
      const bool unicode = std::any_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) > 127; });
      if (!unicode) {
        EXPECT_TRUE(std::regex_match(text, std::regex(pattern))) << pattern << " gave " << text;
      }
    }
  }
}

TEST_F(GrammarTest, WalksThroughASchemaParseAndKeepToIt) {
  auto grammar = Grammar::FromJsonSchema(*tokenizer, R"({
    "type": "object",
    "properties": {
      "name": {"type": "string", "maxLength": 12},
      "kind": {"enum": ["cat", "dog"]},
      "age": {"type": "integer", "minimum": 3, "maximum": 120},
      "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 3},
      "score": {"type": "number", "minimum": 0, "maximum": 1},
      "alive": {"type": ["boolean", "null"]}
    },
    "required": ["name", "kind", "age", "tags", "alive"],
    "additionalProperties": false,
    "$defs": {"tag": {"type": "string", "pattern": "^[a-z]{1,5}$"}}
  })");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const std::string text = Walk(**grammar, seed);
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    ASSERT_TRUE(json.is_object()) << text;
    EXPECT_LE(json.at("name").get<std::string>().size(), 48u) << text;
    EXPECT_TRUE(json.at("kind") == "cat" || json.at("kind") == "dog") << text;
    ASSERT_TRUE(json.at("age").is_number_integer()) << text;
    EXPECT_TRUE(json.at("age") >= 3 && json.at("age") <= 120) << text;
    ASSERT_TRUE(json.at("tags").is_array() && !json.at("tags").empty() && json.at("tags").size() <= 3) << text;
    for (const auto& tag : json.at("tags")) {
      EXPECT_TRUE(std::regex_match(tag.get<std::string>(), std::regex("[a-z]{1,5}"))) << text;
    }
    EXPECT_TRUE(json.at("alive").is_boolean() || json.at("alive").is_null()) << text;
    if (json.contains("score")) {
      EXPECT_TRUE(json.at("score") >= 0 && json.at("score") <= 1) << text;
    }
    EXPECT_LE(json.size(), 6u) << text;
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
}

TEST_F(GrammarTest, AnEmptySchemaIsAnyObject) {
  auto grammar = Grammar::FromJsonSchema(*tokenizer, "{}");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  auto state = GrammarState::Start(**grammar);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_FALSE((*state)->may_end());
  EXPECT_TRUE((*state)->Allows(tokenizer->TokenId("{")));
  EXPECT_FALSE((*state)->Allows(tokenizer->TokenId("[")));
  EXPECT_FALSE((*state)->Allows(-1));
  EXPECT_FALSE((*state)->Allows(1 << 30));
  ASSERT_TRUE((*state)->Accept(tokenizer->TokenId("{")).ok());
  ASSERT_TRUE((*state)->Accept(tokenizer->TokenId("}")).ok());
  EXPECT_TRUE((*state)->may_end());
  EXPECT_TRUE((*state)->finished());
}

TEST_F(GrammarTest, StatesDoNotTouchEachOther) {
  auto grammar = Grammar::FromRegex(*tokenizer, "[ab]{2}");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  auto first = GrammarState::Start(**grammar), second = GrammarState::Start(**grammar);
  ASSERT_TRUE((*first)->Accept(tokenizer->TokenId("a")).ok());
  ASSERT_TRUE((*first)->Accept(tokenizer->TokenId("b")).ok());
  EXPECT_TRUE((*first)->finished());
  grammar->reset();  // states outlive their grammar
  EXPECT_FALSE((*second)->may_end());
  ASSERT_TRUE((*second)->Accept(tokenizer->TokenId("b")).ok());
  EXPECT_FALSE((*second)->Accept(tokenizer->TokenId("c")).ok());
}

TEST_F(GrammarTest, FaultsNameTheFieldAndTheReason) {
  EXPECT_THAT(SchemaFault("{"), HasSubstr("json_schema: not JSON"));
  EXPECT_THAT(SchemaFault("3"), HasSubstr("json_schema: not a JSON object"));
  EXPECT_THAT(SchemaFault(R"({"type": "strnig"})"), HasSubstr("json_schema: "));
  EXPECT_THAT(SchemaFault(R"({"$ref": "https://example.com/schema"})"), HasSubstr("json_schema: "));
  EXPECT_THAT(SchemaFault(R"({"type": "string", "minLength": 5, "maxLength": 2})"), HasSubstr("json_schema: "));
  EXPECT_THAT(SchemaFault("\xff"), HasSubstr("json_schema: invalid utf-8"));
  EXPECT_THAT(SchemaFault(std::string(Grammar::kSchemaBytesMax + 1, ' ')),
              HasSubstr("json_schema has 32769 bytes, the limit is 32768"));
  EXPECT_THAT(RegexFault("(a"), HasSubstr("regex: "));
  EXPECT_THAT(RegexFault("(?=a)b"), HasSubstr("regex: "));
  EXPECT_THAT(RegexFault("(a)\\1"), HasSubstr("regex: "));
  EXPECT_THAT(RegexFault(std::string(Grammar::kRegexBytesMax + 1, 'a')),
              HasSubstr("regex has 4097 bytes, the limit is 4096"));
  EXPECT_THAT(SchemaFault(R"({"type": "array", "minItems": 1000000000})"),
              HasSubstr("minItems and maxItems are 1000000000 in all, the limit is 4096"));
  EXPECT_THAT(SchemaFault(R"({"allOf": [{"minItems": 1e30}], "type": "array"})"),
              HasSubstr("the limit is 64 where parts of a schema combine"));
  // Slashes and line ends of a regex stay inside of it.
  EXPECT_THAT(RegexFault("a/\nstart: (b"), HasSubstr("regex: "));
}

}  // namespace
}  // namespace attnd
