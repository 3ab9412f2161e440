// Generate within a grammar.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/server/rpc/generation_fixture.h"

namespace attnd {
namespace {

class GenerateGrammarTest : public GenerationServerTest {
 protected:
  void SetUp() override { Start(); }
  v1::GenerateRequest Hot(uint64_t seed) const {
    v1::GenerateRequest request = Request(1);
    request.mutable_options()->set_temperature(5);
    request.mutable_options()->set_seed(seed);
    request.mutable_options()->set_max_tokens(100);
    request.mutable_options()->set_min_tokens(0);
    return request;
  }
};

TEST_F(GenerateGrammarTest, EachAnswerKeepsToIt) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    v1::GenerateRequest request = Hot(seed);
    request.mutable_options()->set_n(3);
    request.mutable_options()->set_regex("[a-z]{2,9}=(0|1)");
    const Generated texts = Generate(request);
    ASSERT_TRUE(texts.status.ok()) << texts.status.error_message();
    for (uint32_t answer = 0; answer < 3; ++answer) {
      EXPECT_THAT(texts.Text(answer), ::testing::MatchesRegex("[a-z]+=(0|1)"));
      EXPECT_EQ(texts.ends.at(answer).reason(), v1::FINISH_REASON_STOP);
    }
    request.mutable_options()->set_json_schema(
        R"({"type": "array", "items": {"enum": ["a", "b", 1]}, "minItems": 2, "maxItems": 3})");
    const Generated lists = Generate(request);
    ASSERT_TRUE(lists.status.ok()) << lists.status.error_message();
    for (uint32_t answer = 0; answer < 3; ++answer) {
      const auto json = nlohmann::json::parse(lists.Text(answer), nullptr, false);
      EXPECT_TRUE(json.is_array() && json.size() >= 2 && json.size() <= 3) << lists.Text(answer);
    }
  }
}

TEST_F(GenerateGrammarTest, FaultsNameTheOption) {
  ExpectRefused([](auto& r) { r.mutable_options()->set_regex("(a"); }, "options.regex", "invalid regex");
  ExpectRefused([](auto& r) { r.mutable_options()->set_regex(std::string(5000, 'a')); }, "options.regex",
                "has 5000 bytes, the limit is 4096");
  ExpectRefused([](auto& r) { r.mutable_options()->set_json_schema("nothing"); }, "options.json_schema", "not JSON");
  ExpectRefused([](auto& r) { r.mutable_options()->set_json_schema(R"({"type": "array", "minItems": 100000000})"); },
                "options.json_schema", "the limit is 4096");
  ExpectWell();
}

TEST_F(GenerateGrammarTest, OneThatGrowsTooComplexFailsItsCallAlone) {
  v1::GenerateRequest request = Hot(1);
  request.mutable_options()->set_max_tokens(400);
  request.mutable_options()->set_ignore_eos(true);
  request.mutable_options()->set_regex("(([a-c]{1,20}|[b-d]{1,20}){1,20}|[a-d]{5,50}){1,30}");
  const Generated result = Generate(request);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << result.status.error_message();
  EXPECT_THAT(result.status.error_message(), ::testing::HasSubstr("the grammar: "));
  EXPECT_TRUE(Idle());
  ExpectWell();
}

}  // namespace
}  // namespace attnd
