// What requests of a generator can ask for, and how many of them there may be.
#include <gmock/gmock.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/core/engine/generator_fixture.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

class RequestTest : public GeneratorTest {
 protected:
  RequestTest() : GeneratorTest(golden::Folder("llama")), generator(*decoder, *tokenizer, team, Options()) {}
  Generator generator;
};

TEST_P(RequestTest, SeedsGiveTheSameTokensWhateverRunsBeside) {
  GenerationRequest request = Request(0);
  request.sampling = {.temperature = 1, .top_p = 0.9f, .seed = 5};
  const std::vector<int32_t> alone = Finish(generator, request)->Ids();
  std::vector<std::shared_ptr<Collect>> others;
  for (size_t i = 1; i < cases.size(); ++i) others.push_back(Submit(generator, Request(i)));
  EXPECT_EQ(Finish(generator, request)->Ids(), alone);
  request.sampling.seed = 6;
  EXPECT_NE(Finish(generator, request)->Ids(), alone);
}

TEST_P(RequestTest, LogprobsAreTheReferences) {
  GenerationRequest request = Request(1);
  request.logprobs = 3;
  request.prompt_logprobs = true;
  const auto result = Finish(generator, request);
  const std::vector<float> expected = cases.Floats(1, "greedy_logprobs");
  for (size_t t = 0; t < result->tokens.size(); ++t) {
    EXPECT_NEAR(result->tokens[t].logprob, expected[t], 5e-4);
    ASSERT_EQ(result->tokens[t].top.size(), 3u);
    EXPECT_GE(result->tokens[t].top[0].logprob, result->tokens[t].logprob);
  }
  const std::vector<float> logits = cases.Floats(1, "logits");
  const int vocabulary = decoder->config().vocab_size;
  ASSERT_EQ(result->summary.prompt_logprobs.size(), 11u);
  for (int t = 0; t < 11; ++t) {
    EXPECT_NEAR(result->summary.prompt_logprobs[t],
                golden::LogProbability(logits.data() + t * vocabulary, vocabulary, request.prompt[t + 1]), 5e-4);
  }
}

TEST_P(RequestTest, ScoringAndEmbeddingReadThePromptOnly) {
  const std::vector<int32_t> ids = cases.Ints(2, "ids");
  const int width = decoder->config().hidden_size;
  const std::vector<float> hidden = cases.Floats(2, "hidden");
  GenerationRequest request{.prompt = ids, .max_tokens = 0, .prompt_logprobs = true, .embedding = HiddenPooling::kLast};
  const auto last = Finish(generator, request);
  EXPECT_EQ(last->summary.reason, FinishReason::kLength);
  EXPECT_TRUE(last->tokens.empty());
  EXPECT_EQ(last->summary.prompt_logprobs.size(), ids.size() - 1);
  EXPECT_LT(golden::LargestDifference(last->summary.embedding, {hidden.end() - width, hidden.end()}), 3e-4);
  request.embedding = HiddenPooling::kMean;
  std::vector<float> mean(width, 0.0f);
  for (size_t i = 0; i < hidden.size(); ++i) mean[i % width] += hidden[i] / static_cast<float>(ids.size());
  EXPECT_LT(golden::LargestDifference(Finish(generator, request)->summary.embedding, mean), 3e-4);
}

TEST_P(RequestTest, StopsAtEndTokensIdsAndStrings) {
  GenerationRequest request = Request(0);
  const auto whole = Finish(generator, request);
  request.min_tokens = 0;
  request.stop_ids = {whole->tokens[5].id};
  const auto by_id = Finish(generator, request);
  EXPECT_EQ(by_id->summary.reason, FinishReason::kStop);
  EXPECT_LE(by_id->tokens.size(), 6u);
  EXPECT_EQ(by_id->tokens.back().id, whole->tokens[5].id);
  request.min_tokens = static_cast<int>(by_id->tokens.size()) + 3;
  EXPECT_GE(Finish(generator, request)->tokens.size(), by_id->tokens.size() + 3);

  // A string over the border of two tokens.
  request = Request(0);
  const size_t border = whole->tokens[0].text.size() + whole->tokens[1].text.size() + whole->tokens[2].text.size();
  request.stop_strings = {whole->text.substr(border - 1, 2)};
  const auto by_string = Finish(generator, request);
  EXPECT_EQ(by_string->summary.reason, FinishReason::kStop);
  EXPECT_EQ(by_string->text, whole->text.substr(0, whole->text.find(request.stop_strings[0])));
  EXPECT_LT(by_string->tokens.size(), whole->tokens.size());

  // The end token itself, forced by a bias.
  request = Request(0);
  request.min_tokens = 3;
  request.sampling.logit_bias = {{decoder->config().eos_ids[0], 100.0f}};
  const auto ended = Finish(generator, request);
  EXPECT_EQ(ended->summary.reason, FinishReason::kStop);
  EXPECT_EQ(ended->tokens.size(), 4u);
  request.ignore_eos = true;
  request.min_tokens = 0;
  EXPECT_EQ(Finish(generator, request)->summary.reason, FinishReason::kLength);
}

TEST_P(RequestTest, TextsAreTheDecodedTokens) {
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto result = Finish(generator, Request(i));
    std::vector<int32_t> all = Request(i).prompt;
    const std::string before = tokenizer->Decode(all, true).value();
    for (const int32_t id : result->Ids()) all.push_back(id);
    EXPECT_EQ(before + result->text, tokenizer->Decode(all, true).value());
  }
}

TEST_P(RequestTest, UnwantedOnesFreeTheirPagesWithinAStep) {
  for (int i = 0; i < 1000; ++i) {
    GenerationRequest request = Request(i % cases.size());
    request.max_tokens = 400;
    auto listener = Submit(generator, std::move(request));
    for (int steps = i % 4; steps > 0; --steps) generator.Step();
    listener->wanted = false;
    generator.Step();
    ASSERT_TRUE(listener->ended);
    ASSERT_EQ(listener->summary.reason, FinishReason::kCancelled);
    ASSERT_EQ(generator.Stats().pages_used, 0);
  }
}

TEST_P(RequestTest, TheContextEndsAnAnswer) {
  GenerationRequest request = Request(0);
  const int context = generator.context_tokens();
  request.prompt.assign(context - 3, 5);
  request.max_tokens = request.min_tokens = 50;
  const auto result = Finish(generator, request);
  EXPECT_EQ(result->summary.reason, FinishReason::kLength);
  EXPECT_EQ(result->tokens.size(), 3u);
}

TEST_P(RequestTest, CheckNamesFieldValueAndLimit) {
  const auto message = [&](const std::function<void(GenerationRequest&)>& spoil) {
    GenerationRequest request = Request(0);
    spoil(request);
    return std::string(generator.Check(request).message());
  };
  EXPECT_THAT(message([](auto& r) { r.prompt.clear(); }), HasSubstr("prompt has 0 tokens"));
  EXPECT_THAT(message([](auto& r) { r.prompt.assign(512, 1); }), HasSubstr("512 tokens, the model's context is 512"));
  EXPECT_THAT(message([](auto& r) { r.prompt[3] = 800; }), HasSubstr("prompt has id 800 at token 3"));
  EXPECT_THAT(message([](auto& r) { r.max_tokens = -1; }), HasSubstr("max_tokens is -1"));
  EXPECT_THAT(message([](auto& r) { r.min_tokens = 25; }), HasSubstr("min_tokens is 25"));
  EXPECT_THAT(message([](auto& r) { r.logprobs = 21; }), HasSubstr("logprobs is 21"));
  EXPECT_THAT(message([](auto& r) { r.stop_strings = {""}; }), HasSubstr("stop has a string of 0 bytes"));
  EXPECT_THAT(message([](auto& r) { r.stop_strings.assign(17, "x"); }), HasSubstr("stop has 17 strings, at most 16"));
  EXPECT_THAT(message([](auto& r) { r.stop_ids = {-5}; }), HasSubstr("stop_ids has -5"));
  EXPECT_THAT(message([](auto& r) { r.sampling.temperature = -1; }), HasSubstr("temperature is -1"));
  Generator small(*decoder, *tokenizer, team, Options(1));
  EXPECT_THAT(small.Check(Request(0)).message(),
              HasSubstr("36 tokens of prompt and answer, the cache has room for 16"));
}

TEST_P(RequestTest, RunsOnAThreadOfItsOwnAndStops) {
  GeneratorOptions options = Options();
  options.max_waiting = 40;
  Generator threaded(*decoder, *tokenizer, team, options);
  std::thread runner([&] { threaded.Run(); });
  struct Wait : Collect {
    void OnEnd(GenerationSummary of_all) override {
      Collect::OnEnd(std::move(of_all));
      done = true;
      done.notify_all();
    }
    std::atomic<bool> done{false};
  };
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 5; ++i) {
        auto listener = std::make_shared<Wait>();
        ASSERT_TRUE(threaded.Submit(Request((c + i) % cases.size()), listener).ok());
        listener->done.wait(false);
        golden::ExpectGreedyAnswer(cases, (c + i) % cases.size(), listener->Ids());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  auto late = std::make_shared<Wait>();
  GenerationRequest endless = Request(0);
  endless.max_tokens = endless.min_tokens = 400;
  ASSERT_TRUE(threaded.Submit(endless, late).ok());
  threaded.Stop();
  runner.join();
  EXPECT_TRUE(late->ended);
  EXPECT_EQ(late->summary.reason, FinishReason::kCancelled);
  EXPECT_EQ(threaded.Submit(Request(0), late).code(), absl::StatusCode::kUnavailable);
}

TEST_P(RequestTest, TooManyWaitingAreRefused) {
  GeneratorOptions options = Options();
  options.max_waiting = 2;
  Generator full(*decoder, *tokenizer, team, options);
  Submit(full, Request(0));
  Submit(full, Request(1));
  EXPECT_EQ(full.Submit(Request(2), std::make_shared<Collect>()).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(full.Stats().waiting, 2);
}

// Nothing that ends makes room for it: who is told to wait would wait for ever.
TEST_P(RequestTest, MoreThanMayEverWaitIsInvalid) {
  GeneratorOptions options = Options();
  options.max_waiting = 2;
  options.max_waiting_tokens = 1;
  Generator idle(*decoder, *tokenizer, team, options);
  const auto submit = [&](int count) {
    std::vector<Generation> answers;
    for (int i = 0; i < count; ++i) answers.push_back({Request(0), std::make_shared<Collect>()});
    return idle.SubmitAll(std::move(answers), /*after_first=*/true);
  };
  const absl::Status never = submit(3);
  EXPECT_EQ(never.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(never.message()), HasSubstr("3 in one call, the queue takes at most 2"));
  EXPECT_TRUE(submit(2).ok());  // its prompts are longer than the limit, but alone
  EXPECT_EQ(submit(1).code(), absl::StatusCode::kResourceExhausted);
}

INSTANTIATE_TEST_SUITE_P(Llama, RequestTest, ::testing::Values("llama"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace attnd
