// Classify, Rerank and TokenClassify against what transformers made of the same models.
#include <cmath>
#include <map>

#include "server/rpc/scores.h"
#include "tests/server/rpc/tasks_fixture.h"

namespace attnd::oip {
namespace {

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
