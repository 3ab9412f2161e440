// Generate over real connections: the reference's tokens whatever runs beside, what may be asked for, what is refused.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/server/rpc/generation_fixture.h"

namespace attnd {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class GenerateTest : public GenerationServerTest {
 protected:
  using GenerationServerTest::GenerationServerTest;
};

class GenerateGoldenTest : public GenerateTest, public testing::WithParamInterface<const char*> {
 protected:
  GenerateGoldenTest() : GenerateTest(GetParam()) {}
};

TEST_P(GenerateGoldenTest, ManyAtOnceGiveTheReferencesTokens) {
  config_.generation.max_step_tokens = 20;  // prompts come in chunks beside the others' tokens
  config_.generation.prompt_tokens_beside_decoding = 5;
  Start();
  std::vector<Generated> results(12);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] { results[i] = Generate(Request(i % 6)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_TRUE(results[i].status.ok()) << results[i].status.error_message();
    golden::ExpectGreedyAnswer(golden_, i % 6, results[i].Ids());
    EXPECT_EQ(results[i].starts, 1);
    EXPECT_EQ(results[i].start.model(), GetParam());
    EXPECT_EQ(results[i].start.prompt_size(), 12);
    EXPECT_EQ(results[i].ends.at(0).reason(), v1::FINISH_REASON_LENGTH);
    EXPECT_EQ(results[i].summary.prompt_tokens(), 12u);
    EXPECT_EQ(results[i].summary.generated_tokens(), 24u);
    EXPECT_GT(results[i].summary.time_to_first_token_ns(), 0u);
    EXPECT_GT(results[i].summary.timings().compute_ns(), 0u);
    EXPECT_GE(results[i].summary.timings().total_ns(), results[i].summary.time_to_first_token_ns());
  }
  EXPECT_TRUE(Idle());
}

INSTANTIATE_TEST_SUITE_P(Models, GenerateGoldenTest, testing::Values("llama", "gpt2", "qwen2", "mistral"));

TEST_F(GenerateTest, TextsComeInWholeCharactersAndMakeTheWhole) {
  Start();
  for (uint64_t seed = 0; seed < 10; ++seed) {
    v1::GenerateRequest request;
    request.set_text("naïve café 東京");
    request.mutable_options()->set_seed(seed);  // a tiny model's bytes at random
    request.mutable_options()->set_max_tokens(60);
    request.mutable_options()->set_ignore_eos(true);
    const Generated result = Generate(request);  // a text that is not UTF-8 would not parse
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(result.ends.at(0).seed(), seed);
    v1::DetokenizeRequest whole;
    v1::TokenIds& ids = *whole.add_sequences();
    for (const v1::Token& token : result.start.prompt()) ids.add_ids(token.id());
    for (const int32_t id : result.Ids()) ids.add_ids(id);
    whole.set_skip_special_tokens(true);
    grpc::ClientContext context;
    v1::DetokenizeResponse texts;
    ASSERT_TRUE(stub_->Detokenize(&context, whole, &texts).ok());
    EXPECT_EQ(texts.texts(0).substr(texts.texts(0).size() - std::min(texts.texts(0).size(), result.Text().size())),
              result.Text());
  }
}

TEST_F(GenerateTest, AnswersToOnePromptShareItsPages) {
  Start();
  v1::GenerateRequest request = Request();
  for (int i = 0; i < 60; ++i) request.mutable_input_ids()->add_ids(100 + i);
  request.mutable_options()->set_temperature(1);
  request.mutable_options()->set_seed(7);
  request.mutable_options()->set_n(5);
  request.mutable_options()->set_prompt_logprobs(true);
  const int64_t before = Stats().prompt_tokens;
  const Generated together = Generate(request);
  ASSERT_TRUE(together.status.ok()) << together.status.error_message();
  EXPECT_EQ(Stats().prompt_tokens - before, 72 + 4 * 8);  // 64 tokens are whole pages
  EXPECT_EQ(together.summary.generated_tokens(), 5 * 24u);
  EXPECT_EQ(together.summary.prompt_logprobs_size(), 71);
  EXPECT_EQ(together.ends.size(), 5u);
  request.mutable_options()->set_n(1);
  for (uint32_t i = 0; i < 5; ++i) {
    EXPECT_EQ(together.ends.at(i).seed(), 7 + i);
    request.mutable_options()->set_seed(7 + i);
    request.mutable_options()->set_prompt_logprobs(false);
    const Generated alone = Generate(request);
    EXPECT_EQ(alone.Ids(), together.Ids(i)) << i;
    EXPECT_EQ(alone.summary.shared_tokens(), 64u);  // of the call before
  }
}

TEST_F(GenerateTest, LogprobsAreTheModels) {
  Start();
  v1::GenerateRequest request = Request();
  request.mutable_options()->set_logprobs(3);
  request.mutable_options()->set_prompt_logprobs(true);
  const Generated result = Generate(request);
  ASSERT_TRUE(result.status.ok());
  EXPECT_EQ(result.summary.prompt_logprobs_size(), 11);
  for (const v1::GenerationDelta& delta : result.deltas.at(0)) {
    ASSERT_EQ(delta.top_size(), 3);
    EXPECT_TRUE(delta.has_logprob());
    EXPECT_EQ(delta.top(0).id(), delta.id());  // greedy
    EXPECT_EQ(delta.top(0).logprob(), delta.logprob());
    EXPECT_GE(delta.top(0).logprob(), delta.top(1).logprob());
    EXPECT_FALSE(delta.top(0).token().empty());
  }
  // The prompt alone, and the same again: nothing of it comes from the cache.
  request.mutable_options()->set_max_tokens(0);
  request.mutable_options()->set_min_tokens(0);
  const Generated prompt = Generate(request);
  ASSERT_TRUE(prompt.status.ok());
  EXPECT_TRUE(prompt.Ids().empty());
  EXPECT_EQ(prompt.ends.at(0).reason(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(prompt.summary.time_to_first_token_ns(), 0u);
  for (int i = 0; i < 11; ++i) EXPECT_NEAR(prompt.summary.prompt_logprobs(i), result.summary.prompt_logprobs(i), 1e-5);
  // None where not asked for.
  EXPECT_FALSE(Generate(Request()).deltas.at(0)[0].has_logprob());
}

TEST_F(GenerateTest, StopsWhereItIsTold) {
  Start();
  const std::vector<int32_t> ids = Generate(Request()).Ids();
  v1::GenerateRequest request = Request();
  request.mutable_options()->set_min_tokens(0);
  request.mutable_options()->set_ignore_eos(true);
  request.mutable_options()->add_stop_ids(ids[5]);
  Generated result = Generate(request);
  EXPECT_EQ(result.ends.at(0).reason(), v1::FINISH_REASON_STOP);
  EXPECT_LE(result.Ids().size(), 6u);
  request.mutable_options()->clear_stop_ids();
  const std::string text = Generate(request).Text();
  // Two neighbours, each a character of one byte, so that what is asked for is UTF-8.
  size_t at = 3;
  while (at + 2 < text.size() && (text[at] < 0 || text[at + 1] < 0)) ++at;
  const std::string stop = text.substr(at, 2);
  request.mutable_options()->add_stop(stop);
  result = Generate(request);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.ends.at(0).reason(), v1::FINISH_REASON_STOP);
  EXPECT_EQ(result.Text(), text.substr(0, text.find(stop)));
}

TEST_F(GenerateTest, WhatCannotBeIsRefusedByField) {
  config_.limits.max_text_bytes = 1000;
  Start();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto options = [&](auto change, const std::string& field, const std::string& words) {
    ExpectRefused([&](v1::GenerateRequest& r) { change(*r.mutable_options()); }, "options." + field, words);
  };
  options([](auto& o) { o.set_temperature(-1); }, "temperature", "-1, must be from 0 to 100");
  options([&](auto& o) { o.set_temperature(nan); }, "temperature", "must be");
  options([](auto& o) { o.set_top_p(0); }, "top_p", "must be above 0");
  options([](auto& o) { o.set_min_p(2); }, "min_p", "0 to 1");
  options([](auto& o) { o.set_typical_p(-1); }, "typical_p", "must be above 0");
  options([](auto& o) { o.set_repetition_penalty(0); }, "repetition_penalty", "above 0");
  options([](auto& o) { o.set_presence_penalty(3); }, "presence_penalty", "-2 to 2");
  options([&](auto& o) { o.set_frequency_penalty(nan); }, "frequency_penalty", "-2 to 2");
  options([](auto& o) { (*o.mutable_logit_bias())[800] = 1; }, "logit_bias", "0 to 799");
  options([](auto& o) { (*o.mutable_logit_bias())[8] = 101; }, "logit_bias", "-100 to 100");
  options([](auto& o) { o.set_min_tokens(25); }, "min_tokens", "0 to max_tokens 24");
  options([](auto& o) { o.set_min_tokens(4000000000u); }, "min_tokens", "max_tokens");
  options([](auto& o) { o.set_logprobs(21); }, "logprobs", "at most 20");
  options([](auto& o) { o.set_n(65); }, "n", "at most 64");
  options([](auto& o) { o.add_stop(""); }, "stop", "0 bytes");
  options([](auto& o) { o.add_stop(std::string(257, 'x')); }, "stop", "1 to 256");
  options(
      [](auto& o) {
        for (int i = 0; i < 17; ++i) o.add_stop("x");
      },
      "stop", "at most 16");
  options([](auto& o) { o.add_stop_ids(-5); }, "stop_ids", "-5");
  options(
      [](auto& o) {
        for (int i = 0; i < 65; ++i) o.add_stop_ids(1);
      },
      "stop_ids", "at most 64");
  ExpectRefused([](auto& r) { r.clear_input_ids(); }, "prompt", "needed");
  ExpectRefused([](auto& r) { r.mutable_input_ids()->clear_ids(); }, "input_ids", "0 tokens");
  ExpectRefused([](auto& r) { r.mutable_input_ids()->set_ids(3, 800); }, "input_ids", "id 800 at token 3");
  ExpectRefused([](auto& r) { r.mutable_input_ids()->set_ids(3, -1); }, "input_ids", "id -1 at token 3");
  ExpectRefused([](auto& r) { r.mutable_input_ids()->mutable_ids()->Resize(512, 1); }, "input_ids",
                "512 tokens, the model's context is 512");
  ExpectRefused([](auto& r) { r.set_text(std::string(1001, 'x')); }, "text", "at most 1000");
  ExpectWell();
}

TEST_F(GenerateTest, AContextFullOfTokensIsTheEnd) {
  Start();
  v1::GenerateRequest request = Request();
  request.mutable_input_ids()->mutable_ids()->Resize(500, 1);
  request.mutable_options()->set_max_tokens(4000000000u);
  request.mutable_options()->set_min_tokens(0);
  request.mutable_options()->set_ignore_eos(true);
  const Generated result = Generate(request);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.Ids().size(), 12u);
  EXPECT_EQ(result.ends.at(0).reason(), v1::FINISH_REASON_LENGTH);
}

TEST_F(GenerateTest, ACacheThatIsTooSmallSaysSo) {
  config_.generation.kv_cache_bytes = 100000;
  Start();
  ExpectRefused([](auto& r) { r.mutable_options()->set_max_tokens(500); }, "options.max_tokens",
                "the cache has room for");
  ExpectWell();
}

TEST_F(GenerateTest, ModelsOfBothKindsSideBySide) {
  config_.models.push_back({.name = "bert", .folder = golden::Folder("bert")});
  Start();
  const auto failed = [](const grpc::Status& status, const std::string& words) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(words));
  };
  v1::GenerateRequest request = Request();
  request.set_model("bert");
  failed(Generate(request).status, "task is embed: call Embed");
  request.set_model("llama");
  EXPECT_TRUE(Generate(request).status.ok());
  v1::EmbedRequest embed;
  embed.set_model("bert");
  embed.add_texts("a text");
  v1::EmbedResponse embedded;
  EXPECT_TRUE(Embed(embed, embedded).ok());
  v1::ClassifyRequest classify;
  classify.set_model("llama");
  classify.add_texts("a text");
  v1::ClassifyResponse classified;
  grpc::ClientContext context;
  failed(stub_->Classify(&context, classify, &classified), "task is generate: call Generate");

  grpc::ClientContext of_list, of_model;
  v1::ListModelsResponse list;
  ASSERT_TRUE(stub_->ListModels(&of_list, {}, &list).ok());
  ASSERT_EQ(list.models_size(), 3);
  v1::GetModelRequest get;
  get.set_model("llama");
  v1::ModelInfo info;
  ASSERT_TRUE(stub_->GetModel(&of_model, get, &info).ok());
  EXPECT_EQ(info.task(), "generate");
  EXPECT_EQ(info.architecture(), "llama");
  EXPECT_EQ(info.layers(), 3);
  EXPECT_EQ(info.heads(), 6);
  EXPECT_EQ(info.max_tokens(), 512);
  EXPECT_EQ(info.vocabulary_size(), 800);
  EXPECT_GT(info.weight_bytes(), 100000u);
  EXPECT_THAT(info.calls(), Contains("Generate"));
  EXPECT_THAT(info.calls(), Contains("Tokenize"));
  EXPECT_THAT(info.calls(), Contains("Attend"));
  EXPECT_THAT(info.calls(), Contains("EstimateAttention"));
  EXPECT_THAT(info.calls(), Not(Contains("Classify")));
  EXPECT_NE(server_->context().metrics.Text().find("model=\"llama\",precision=\"f32\"} 1"), std::string::npos);
  EXPECT_THAT(server_->ReadyLine(absl::Seconds(1)), HasSubstr("llama f32"));
}

TEST_F(GenerateTest, PrecisionsServe) {
  config_.models = {{.name = "bf16", .folder = golden::Folder("llama"), .precision = Precision::kBf16},
                    {.name = "int8", .folder = golden::Folder("llama"), .precision = Precision::kInt8}};
  Start();
  for (const char* name : {"bf16", "int8"}) {
    v1::GenerateRequest request = Request();
    request.set_model(name);
    const Generated result = Generate(request);
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(result.Ids().size(), 24u);
  }
  EXPECT_EQ(server_->context().models.Find("bf16")->decoder->options().kv_type, KvType::kBf16);
}

}  // namespace
}  // namespace attnd
