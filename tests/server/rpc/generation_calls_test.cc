// Chat, Score and the embeddings of decoders.
#include <gmock/gmock.h>

#include <cmath>
#include <fstream>

#include "tests/server/rpc/generation_fixture.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

class GenerationCallsTest : public GenerationServerTest {
 protected:
  // The golden model with a chat template beside.
  void WithTemplate(const std::string& source) {
    folder_.LinkFilesOf(golden::Folder("llama"));
    std::ofstream(folder_ / "chat_template.jinja") << source;
    config_.models = {{.name = "llama", .folder = folder_.path().string()}};
  }
  Generated Chat(const v1::ChatRequest& request) {
    grpc::ClientContext context;
    auto reader = stub_->Chat(&context, request);
    Generated result;
    v1::GenerateResponse event;
    while (reader->Read(&event)) {
      if (event.has_start()) result.start = event.start();
      if (event.has_delta()) result.deltas[0].push_back(event.delta());
      if (event.has_end()) result.ends[0] = event.end();
    }
    result.status = reader->Finish();
    return result;
  }
  grpc::Status Score(const v1::ScoreRequest& request, v1::ScoreResponse& response) {
    grpc::ClientContext context;
    return stub_->Score(&context, request, &response);
  }

  const TempFolder folder_{"chat"};
};

TEST_F(GenerationCallsTest, ChatIsGenerateOfTheRenderedMessages) {
  WithTemplate(
      "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
      "{% if add_generation_prompt %}[assistant] {% endif %}");
  Start();
  v1::ChatRequest chat;
  auto& message = *chat.add_messages();
  message.set_role("user");
  message.set_content("He is a speaker.");
  chat.mutable_options()->set_temperature(0);
  chat.mutable_options()->set_max_tokens(8);
  v1::GenerateRequest same;
  same.set_text("[user] He is a speaker.\n[assistant] ");
  same.set_add_special_tokens(false);
  *same.mutable_options() = chat.options();
  const Generated a = Chat(chat), b = Generate(same);
  ASSERT_TRUE(a.status.ok()) << a.status.error_message();
  EXPECT_EQ(a.Ids(), b.Ids());
  EXPECT_EQ(a.start.prompt_size(), b.start.prompt_size());

  chat.clear_messages();
  ExpectInvalid(Chat(chat).status, "messages", "at least 1, at most 1024");
  for (int i = 0; i < 300; ++i) *chat.add_messages() = message;
  ExpectInvalid(Chat(chat).status, "messages", "the model's context is 512");
  grpc::ClientContext context;
  v1::ModelInfo info;
  ASSERT_TRUE(stub_->GetModel(&context, {}, &info).ok());
  EXPECT_THAT(info.calls(), testing::Contains("Chat"));
}

TEST_F(GenerationCallsTest, TemplatesThatAreMissingOrRefuse) {
  Start();
  v1::ChatRequest chat;
  chat.add_messages()->set_role("user");
  const grpc::Status status = Chat(chat).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("no chat template: call Generate"));
  server_->Shutdown();
  WithTemplate("{{ raise_exception('roles must alternate') }}");
  Start();
  ExpectInvalid(Chat(chat).status, "messages", "roles must alternate");
}

TEST_F(GenerationCallsTest, ScoresAreSumsOfPromptLogprobs) {
  Start();
  v1::ScoreRequest request;
  request.set_text("He is considered a most graceful speaker who can say nothing");
  for (const char* text : {" in the most words.", " at all", " nothing"}) request.add_continuations(text);
  v1::ScoreResponse response;
  const grpc::Status status = Score(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.continuations_size(), 3);
  int64_t tokens = 0;
  for (int i = 0; i < 3; ++i) {
    const v1::ScoredText& scored = response.continuations(i);
    v1::GenerateRequest whole;
    whole.set_text(request.text() + request.continuations(i));
    whole.mutable_options()->set_max_tokens(0);
    whole.mutable_options()->set_prompt_logprobs(true);
    whole.mutable_options()->set_temperature(0);
    const Generated result = Generate(whole);
    ASSERT_TRUE(result.status.ok()) << result.status.error_message();
    tokens += result.start.prompt_size();
    const int count = scored.logprobs_size(), all = result.summary.prompt_logprobs_size();
    ASSERT_GT(count, 0);
    ASSERT_EQ(scored.tokens_size(), count);
    double sum = 0;
    for (int t = 0; t < count; ++t) {
      EXPECT_NEAR(scored.logprobs(t), result.summary.prompt_logprobs(all - count + t), 1e-4);
      EXPECT_EQ(scored.tokens(t).id(), result.start.prompt(all + 1 - count + t).id());
      sum += scored.logprobs(t);
    }
    EXPECT_NEAR(scored.logprob(), sum, 1e-4);
    EXPECT_EQ(scored.tokens(count - 1).end(), request.continuations(i).size());
  }
  EXPECT_LT(response.tokens(), static_cast<uint64_t>(tokens));  // what the texts share is computed once
  EXPECT_GT(response.timings().compute_ns(), 0u);

  // What the model itself goes on with is greedy, anything else is not.
  v1::GenerateRequest generate;
  generate.set_text(request.text());
  generate.mutable_options()->set_temperature(0);
  generate.mutable_options()->set_max_tokens(40);
  const Generated answer = Generate(generate);
  EXPECT_FALSE(response.continuations(0).greedy() && response.continuations(1).greedy());
  EXPECT_TRUE(Idle());
}

TEST_F(GenerationCallsTest, ScoresThatCannotBe) {
  Start();
  v1::ScoreResponse response;
  v1::ScoreRequest request;
  request.set_text("a word");
  ExpectInvalid(Score(request, response), "continuations", "at least 1");
  request.add_continuations(" and more");
  request.add_continuations("");
  ExpectInvalid(Score(request, response), "continuations[1]", "has no tokens");
  request.set_continuations(1, Repeated(" word", 600));
  ExpectInvalid(Score(request, response), "continuations[1]", "the model's context is 512");
  request.set_text("");
  request.mutable_continuations()->RemoveLast();
  request.set_add_special_tokens(false);
  ExpectInvalid(Score(request, response), "text", "has no tokens");
  ExpectWell();
}

// A client that is told to try again would do so for ever.
TEST_F(GenerationCallsTest, MoreThanMayEverWaitNamesTheFieldAndTheLimit) {
  config_.queue.max_queue_requests = 4;
  Start();
  v1::ScoreRequest score;
  score.set_text("a word");
  v1::EmbedRequest embed;
  for (int i = 0; i < 5; ++i) {
    score.add_continuations(" more");
    embed.add_texts("a");
  }
  v1::ScoreResponse scored;
  ExpectInvalid(Score(score, scored), "continuations", "takes at most 4 (max_queue_requests)");
  v1::EmbedResponse embedded;
  ExpectInvalid(Embed(embed, embedded), "texts", "5 in one call, the queue takes at most 4");
  v1::GenerateRequest generate = Request();
  generate.mutable_options()->set_n(5);
  ExpectInvalid(Generate(generate).status, "options.n", "max_queue_requests");
  generate.mutable_options()->set_n(4);
  EXPECT_TRUE(Generate(generate).status.ok());
  EXPECT_THAT(server_->context().metrics.Text(), HasSubstr("attnd_rejected_total{reason=\"too_large\"} 3"));
  ExpectWell();
}

TEST_F(GenerationCallsTest, EmbeddingsAreTheLastHiddenStateOrTheMean) {
  Start();
  v1::EmbedRequest request;
  for (size_t i = 0; i < golden_.size(); ++i) request.add_texts(golden_.Text(i));
  std::vector<float> last, mean;
  for (const v1::Pooling pooling : {v1::POOLING_DEFAULT, v1::POOLING_MEAN}) {
    request.set_pooling(pooling);
    v1::EmbedResponse response;
    const grpc::Status status = Embed(request, response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.dimensions(), 96u);
    EXPECT_GT(response.timings().compute_ns(), 0u);
    (pooling == v1::POOLING_MEAN ? mean : last) = Floats(response.vectors());
    for (size_t i = 0; i < golden_.size(); ++i) {
      const std::vector<int32_t> ids = golden_.Ints(i, "ids");
      const std::vector<float> hidden = golden_.Floats(i, "hidden");  // [tokens, 96]
      ASSERT_EQ(hidden.size(), ids.size() * 96);
      for (size_t c = 0; c < 96; ++c) {
        double expected = hidden[hidden.size() - 96 + c];
        if (pooling == v1::POOLING_MEAN) {
          expected = 0;
          for (size_t t = 0; t < ids.size(); ++t) expected += hidden[t * 96 + c] / static_cast<double>(ids.size());
        }
        ASSERT_NEAR(Floats(response.vectors())[i * 96 + c], expected, 3e-4) << i << " " << c;
      }
    }
  }
  request.set_normalize(true);
  v1::EmbedResponse response;
  ASSERT_TRUE(Embed(request, response).ok());
  double squares = 0;
  for (int c = 0; c < 96; ++c) squares += std::pow(Floats(response.vectors())[static_cast<size_t>(c)], 2);
  EXPECT_NEAR(squares, 1, 1e-5);
  request.add_texts("");
  const grpc::Status empty = Embed(request, response);
  if (!empty.ok()) ExpectInvalid(empty, "texts[6]", "0 tokens");
  EXPECT_TRUE(Idle());
}

TEST_F(GenerationCallsTest, EncodersHaveTheirOwnPooling) {
  config_.models = {{.name = "bert", .folder = golden::Folder("bert")}};
  Start();
  v1::EmbedRequest request;
  request.add_texts("a");
  request.set_pooling(v1::POOLING_LAST);
  v1::EmbedResponse response;
  ExpectInvalid(Embed(request, response), "pooling", "only decoders");
}

}  // namespace
}  // namespace attnd
