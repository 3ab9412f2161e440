// Classify, Rerank, TokenClassify and FillMask against what transformers made of the same models, and the same through
// the Open Inference Protocol.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <map>

#include "server/rpc/scores.h"
#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {
namespace {

using testing::HasSubstr;

class TasksTest : public ServerTest {
 protected:
  void SetUp() override {
    config_.models.clear();
    for (const char* name : {"bert", "bert-classify", "albert-classify", "bert-token", "bert-mlm", "roberta-rerank"}) {
      config_.models.push_back({.name = name, .folder = golden::Folder(name)});
      cases_.emplace(name, golden::Folder(name) + "/golden");
    }
    Start();
    inference_ = inference::GRPCInferenceService::NewStub(channel_);
  }

  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::Attnd::Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response& response) {
    grpc::ClientContext context;
    return (stub_.get()->*method)(&context, request, &response);
  }
  ModelInferResponse Infer(const ModelInferRequest& request) {
    grpc::ClientContext context;
    ModelInferResponse response;
    const grpc::Status status = inference_->ModelInfer(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  static ModelInferRequest Request(const std::string& model, const std::vector<std::string>& texts) {
    ModelInferRequest request = Texts(texts);
    request.set_model_name(model);
    return request;
  }
  // Whether the golden tokens are fewer than the text's.
  static bool WasCut(const golden::Cases& cases, size_t i) { return cases.Ints(i, "ids").size() >= 96; }
  // The golden tokens of a case, as INT32 input.
  static ModelInferRequest Ids(const std::string& model, const golden::Cases& cases, size_t i) {
    const std::vector<int32_t> ids = cases.Ints(i, "ids");
    ModelInferRequest request;
    request.set_model_name(model);
    AddRaw(request, "input_ids", "INT32", {1, static_cast<int64_t>(ids.size())}, Bytes(ids));
    return request;
  }
  static std::string PairOf(const golden::Cases& cases, size_t i) {
    return cases.Pair(i).is_null() ? "" : cases.Pair(i).get<std::string>();
  }

  std::map<std::string, golden::Cases> cases_;
  std::unique_ptr<inference::GRPCInferenceService::Stub> inference_;
};

TEST_F(TasksTest, ClassifyGivesTheGoldenLogitsAndTheirScores) {
  // One of a single label, one of several. The pairs of bert-classify were run without segments; those of
  // albert-classify with them.
  for (const auto& [model, pairs] : {std::pair("bert-classify", false), std::pair("albert-classify", true)}) {
    const golden::Cases& cases = cases_.at(model);
    const ModelConfig& config = server_->context().models.Find(model)->model->config;
    const std::vector<std::string>& labels = config.labels;
    v1::ClassifyRequest request;
    request.set_model(model);
    request.set_raw_scores(true);
    std::vector<size_t> which;
    for (size_t i = 0; i < cases.size(); ++i) {
      if (cases.Pair(i).is_null() == pairs || WasCut(cases, i)) continue;
      which.push_back(i);
      request.add_texts(cases.Text(i));
      if (pairs) request.add_text_pairs(PairOf(cases, i));
    }
    ASSERT_FALSE(which.empty());
    v1::ClassifyResponse raw, scored;
    ASSERT_TRUE(Call(&v1::Attnd::Stub::Classify, request, raw).ok());
    request.set_raw_scores(false);
    ASSERT_TRUE(Call(&v1::Attnd::Stub::Classify, request, scored).ok());
    for (size_t k = 0; k < which.size(); ++k) {
      std::vector<float> logits = cases.Floats(which[k], "logits");
      ASSERT_EQ(raw.texts(static_cast<int>(k)).labels_size(), static_cast<int>(labels.size()));
      for (const auto& label : raw.texts(static_cast<int>(k)).labels()) {
        EXPECT_NEAR(label.score(), logits[label.id()], 2e-4);
      }
      ToScores(config.problem_type, absl::MakeSpan(logits));
      float last = 1;
      for (const auto& label : scored.texts(static_cast<int>(k)).labels()) {
        EXPECT_NEAR(label.score(), logits[label.id()], 1e-4);
        EXPECT_LE(label.score(), last);
        last = label.score();
        EXPECT_EQ(label.label(), labels[label.id()]);
      }
    }
  }
}

TEST_F(TasksTest, ClassifyWithTopKAndAttention) {
  v1::ClassifyRequest request;
  request.set_model("bert-classify");
  request.add_texts("one two three");
  request.add_text_pairs("four");
  request.set_top_k(1);
  request.mutable_attention()->set_select("L0H1");
  v1::ClassifyResponse response;
  const grpc::Status status = Call(&v1::Attnd::Stub::Classify, request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const v1::ClassifiedText& text = response.texts(0);
  EXPECT_EQ(text.labels_size(), 1);
  const auto tokens = static_cast<size_t>(text.attention().tokens_size());
  EXPECT_EQ(text.tokens(), tokens);
  EXPECT_EQ(text.attention().data().size(), tokens * tokens * sizeof(float));
  EXPECT_EQ(text.attention().tokens(static_cast<int>(tokens) - 2).part(), 1);
  EXPECT_GT(response.timings().total_ns(), 0u);
  EXPECT_TRUE(Eventually([&] { return server_->context().attention_memory.used_bytes() == 0; }));
}

TEST_F(TasksTest, RerankSortsByTheSigmoidOfTheGoldenLogits) {
  const golden::Cases& cases = cases_.at("roberta-rerank");
  for (size_t i = 0; i < cases.size(); ++i) {
    if (cases.Pair(i).is_null() || WasCut(cases, i)) continue;
    v1::RerankRequest request;
    request.set_model("roberta-rerank");
    request.set_query(cases.Text(i));
    request.add_documents("The universe is made of stories, not of atoms.");
    request.add_documents(PairOf(cases, i));
    request.set_return_documents(true);
    v1::RerankResponse response;
    const grpc::Status status = Call(&v1::Attnd::Stub::Rerank, request, response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.results_size(), 2);
    EXPECT_GE(response.results(0).score(), response.results(1).score());
    for (const auto& result : response.results()) {
      EXPECT_EQ(result.document(), request.documents(static_cast<int>(result.index())));
      if (result.index() != 1) continue;
      EXPECT_NEAR(result.score(), 1 / (1 + std::exp(-cases.Floats(i, "logits")[0])), 1e-4);
    }
    request.set_top_n(1);
    request.set_raw_scores(true);
    v1::RerankResponse best;
    ASSERT_TRUE(Call(&v1::Attnd::Stub::Rerank, request, best).ok());
    ASSERT_EQ(best.results_size(), 1);
    EXPECT_EQ(best.results(0).index(), response.results(0).index());
  }
}

TEST_F(TasksTest, TokenClassifyGivesTheGoldenLogitsAndSpans) {
  const golden::Cases& cases = cases_.at("bert-token");
  v1::TokenClassifyRequest request;
  request.set_model("bert-token");
  request.set_token_scores(true);
  request.set_raw_scores(true);
  request.set_aggregation(v1::ENTITY_AGGREGATION_NONE);
  for (size_t i = 0; i < cases.size(); ++i) request.add_texts(cases.Text(i));
  v1::TokenClassifyResponse response;
  const grpc::Status status = Call(&v1::Attnd::Stub::TokenClassify, request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.labels_size(), 5);
  for (size_t i = 0; i < cases.size(); ++i) {
    const v1::TokenClassifiedText& text = response.texts(static_cast<int>(i));
    ExpectNear(Floats(text.scores()), cases.Floats(i, "logits"), 2e-4f);
    // No label is "O" here: every token but [CLS] and [SEP] is an entity.
    ASSERT_EQ(text.entities_size(), static_cast<int>(text.tokens()) - 2);
    for (const v1::Entity& entity : text.entities()) {
      EXPECT_EQ(entity.text(), cases.Text(i).substr(entity.begin(), entity.end() - entity.begin()));
      EXPECT_EQ(entity.end_token(), entity.begin_token() + 1);
    }
  }
}

TEST_F(TasksTest, FillMaskGivesTheBestOfTheGoldenLogits) {
  const golden::Cases& cases = cases_.at("bert-mlm");
  const Tokenizer& tokenizer = *server_->context().models.Find("bert-mlm")->model->tokenizer;
  v1::FillMaskRequest request;
  request.set_model("bert-mlm");
  request.add_texts("Having no [MASK] is no longer enough.");
  request.add_texts("When in [MASK], tell the [MASK].");
  request.set_top_k(3);
  v1::FillMaskResponse response;
  const grpc::Status status = Call(&v1::Attnd::Stub::FillMask, request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.texts(0).masks_size(), 1);
  ASSERT_EQ(response.texts(1).masks_size(), 2);
  EXPECT_THAT(response.texts(1).masks(0).candidates(0).text(), HasSubstr("[MASK]"));
  EXPECT_THAT(response.texts(1).masks(0).candidates(0).text(), testing::Not(HasSubstr("[CLS]")));
  for (const auto& candidate : response.texts(0).masks(0).candidates()) {
    EXPECT_EQ(candidate.token(), *tokenizer.Decode({candidate.id()}, false));
    EXPECT_THAT(candidate.text(), testing::Not(HasSubstr("[MASK]")));
  }

  // The whole distribution, through the Open Inference Protocol: the golden logits, and the same candidates.
  for (size_t i = 0; i < cases.size(); ++i) {
    ModelInferRequest golden = Ids("bert-mlm", cases, i);
    golden.add_outputs()->set_name("scores");
    (*golden.mutable_parameters())["raw_scores"].set_bool_param(true);
    ExpectNear(Output<float>(Infer(golden), "scores").values, cases.Floats(i, "logits"), 2e-4f);
  }
  ModelInferRequest all = Request("bert-mlm", {"short", request.texts(0)});
  all.add_outputs()->set_name("scores");
  const Output<float> scores(Infer(all), "scores");
  const auto vocabulary = static_cast<size_t>(scores.shape[2]);
  const size_t mask = static_cast<size_t>(scores.shape[1]) + response.texts(0).masks(0).token();
  const absl::Span<const float> row = absl::MakeConstSpan(scores.values).subspan(mask * vocabulary, vocabulary);
  const std::vector<int> best = TopIndices(row, 3);
  for (int k = 0; k < 3; ++k) {
    EXPECT_EQ(response.texts(0).masks(0).candidates(k).id(), best[static_cast<size_t>(k)]);
    EXPECT_NEAR(response.texts(0).masks(0).candidates(k).score(),
                row[static_cast<size_t>(best[static_cast<size_t>(k)])], 1e-4);
  }
}

TEST_F(TasksTest, OpenInferenceFormsOfAClassifier) {
  for (const char* model : {"bert-classify", "albert-classify"}) {
    const golden::Cases& cases = cases_.at(model);
    for (size_t i = 0; i < cases.size(); ++i) {
      const std::vector<float> logits = cases.Floats(i, "logits");
      if (WasCut(cases, i)) continue;
      ModelInferRequest request = Request(model, {cases.Text(i)});
      if (!cases.Pair(i).is_null()) AddRaw(request, "text_pair", "BYTES", {1, 1}, Framed({PairOf(cases, i)}));
      if (!cases.Pair(i).is_null() && cases.Ints(i, "type_ids").empty()) request = Ids(model, cases, i);
      (*request.mutable_parameters())["raw_scores"].set_bool_param(true);
      const Output<float> scores(Infer(request), "scores");  // the default output
      EXPECT_EQ(scores.shape, (std::vector<int64_t>{1, static_cast<int64_t>(logits.size())}));
      ExpectNear(scores.values, logits, 2e-4f);
    }
  }
  ModelInferRequest everything = Request("bert-classify", {"one", "two three"});
  for (const char* name : {"scores", "embedding", "last_hidden_state", "attention", "attention_entropy"}) {
    everything.add_outputs()->set_name(name);
  }
  const ModelInferResponse response = Infer(everything);
  EXPECT_EQ(response.outputs_size(), 5);
  const Output<float> scores(response, "scores");
  EXPECT_NEAR(scores.values[0] + scores.values[1] + scores.values[2], 1, 1e-5);
}

TEST_F(TasksTest, OpenInferenceFormsOfARerankerAndOfTokens) {
  const golden::Cases& cases = cases_.at("roberta-rerank");
  size_t pair = 0;
  while (cases.Pair(pair).is_null() || WasCut(cases, pair)) ++pair;
  const float golden = 1 / (1 + std::exp(-cases.Floats(pair, "logits")[0]));
  ModelInferRequest query = Request("roberta-rerank", {PairOf(cases, pair), "something else"});
  AddRaw(query, "query", "BYTES", {1}, Framed({cases.Text(pair)}));
  const Output<float> ranked(Infer(query), "scores");
  EXPECT_EQ(ranked.shape, (std::vector<int64_t>{2}));
  EXPECT_NEAR(ranked.values[0], golden, 1e-4);
  ModelInferRequest pairs = Request("roberta-rerank", {cases.Text(pair)});
  AddRaw(pairs, "text_pair", "BYTES", {1}, Framed({PairOf(cases, pair)}));
  const Output<float> scored(Infer(pairs), "scores");
  EXPECT_EQ(scored.shape, (std::vector<int64_t>{1, 1}));
  EXPECT_NEAR(scored.values[0], golden, 1e-4);

  const golden::Cases& tokens = cases_.at("bert-token");
  ModelInferRequest request = Request("bert-token", {tokens.Text(0), "short"});
  (*request.mutable_parameters())["raw_scores"].set_bool_param(true);
  const Output<float> scores(Infer(request), "scores");
  const std::vector<float> logits = tokens.Floats(0, "logits");
  EXPECT_EQ(scores.shape, (std::vector<int64_t>{2, static_cast<int64_t>(logits.size()) / 5, 5}));
  ExpectNear({scores.values.begin(), scores.values.begin() + static_cast<long>(logits.size())}, logits, 2e-4f);
  EXPECT_EQ(scores.values.back(), 0) << "padding";
}

TEST_F(TasksTest, AModelWithoutTheHeadSaysWhichItHas) {
  v1::ClassifyRequest classify;
  classify.set_model("bert-mlm");
  classify.add_texts("a");
  v1::ClassifyResponse classified;
  grpc::Status status = Call(&v1::Attnd::Stub::Classify, classify, classified);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("the model's task is fill-mask: call FillMask"));
  v1::RerankRequest rerank;
  rerank.set_model("bert-classify");
  rerank.add_documents("a");
  v1::RerankResponse reranked;
  status = Call(&v1::Attnd::Stub::Rerank, rerank, reranked);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("classifier with one label"));
  ModelInferRequest scores = Request("bert", {"a"});
  scores.add_outputs()->set_name("scores");
  grpc::ClientContext context;
  ModelInferResponse response;
  ExpectInvalid(inference_->ModelInfer(&context, scores, &response), "outputs[0].name", "no such output");
}

TEST_F(TasksTest, BadInputNamesTheField) {
  v1::ClassifyRequest classify;
  classify.set_model("bert-classify");
  v1::ClassifyResponse classified;
  ExpectInvalid(Call(&v1::Attnd::Stub::Classify, classify, classified), "texts", "at least 1");
  classify.add_texts("a");
  classify.add_texts("b");
  classify.add_text_pairs("c");
  ExpectInvalid(Call(&v1::Attnd::Stub::Classify, classify, classified), "text_pairs", "1 for 2 texts");
  v1::FillMaskRequest fill;
  fill.set_model("bert-mlm");
  fill.add_texts("no mask");
  v1::FillMaskResponse filled;
  ExpectInvalid(Call(&v1::Attnd::Stub::FillMask, fill, filled), "texts[0]", "[MASK]");
  v1::RerankRequest rerank;
  rerank.set_model("roberta-rerank");
  v1::RerankResponse reranked;
  ExpectInvalid(Call(&v1::Attnd::Stub::Rerank, rerank, reranked), "documents", "at least 1");
  rerank.set_query(std::string(200000, 'x'));
  rerank.add_documents("a");
  ExpectInvalid(Call(&v1::Attnd::Stub::Rerank, rerank, reranked), "query", "max_text_bytes");
}

TEST_F(TasksTest, CandidatesOfMasksAreBounded) {
  config_.limits.max_attention_bytes = 200000;
  Start();
  v1::FillMaskRequest fill;
  fill.set_model("bert-mlm");
  fill.add_texts("Having no [MASK] is no longer enough." + std::string(300, ' '));
  v1::FillMaskResponse filled;
  EXPECT_TRUE(Call(&v1::Attnd::Stub::FillMask, fill, filled).ok());
  fill.set_top_k(std::numeric_limits<uint32_t>::max());  // 800 words, each with the whole text
  const grpc::Status status = Call(&v1::Attnd::Stub::FillMask, fill, filled);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("the candidates of 1 texts"));
}

// 320 masks with 800 words each take a worker far longer than the caller waits.
TEST_F(TasksTest, CandidatesThatNobodyWaitsForAreNotMade) {
  v1::FillMaskRequest fill;
  fill.set_model("bert-mlm");
  fill.set_top_k(800);
  std::string text;
  for (int i = 0; i < 40; ++i) text += "[MASK] word ";
  for (int i = 0; i < 8; ++i) fill.add_texts(text);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  v1::FillMaskResponse filled;
  EXPECT_EQ(stub_->FillMask(&context, fill, &filled).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  const absl::Time end = absl::Now();
  EXPECT_TRUE(Eventually([&] { return server_->context().attention_memory.used_bytes() == 0; }));
  EXPECT_LT(absl::Now() - end, absl::Seconds(2));
}

TEST_F(TasksTest, ModelInfoSaysTheTask) {
  std::map<std::string, v1::ModelInfo> models;
  v1::ListModelsResponse response;
  ASSERT_TRUE(Call(&v1::Attnd::Stub::ListModels, v1::ListModelsRequest(), response).ok());
  for (const v1::ModelInfo& model : response.models()) models[model.name()] = model;
  EXPECT_EQ(models["bert"].task(), "embed");
  EXPECT_EQ(models["bert-classify"].task(), "classify");
  EXPECT_EQ(models["bert-classify"].labels_size(), 3);
  EXPECT_EQ(models["roberta-rerank"].task(), "rerank");
  EXPECT_EQ(models["bert-token"].task(), "token-classify");
  EXPECT_EQ(models["bert-mlm"].task(), "fill-mask");
  for (const auto& [name, call] : {std::pair("bert-mlm", "FillMask"), std::pair("roberta-rerank", "Rerank")}) {
    const auto& calls = models[name].calls();
    EXPECT_NE(std::find(calls.begin(), calls.end(), call), calls.end()) << name;
  }
}

}  // namespace
}  // namespace attnd::oip
