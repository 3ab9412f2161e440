// Models with a head through the Open Inference Protocol, against what transformers made of them.
#include <cmath>

#include "tests/server/rpc/tasks_fixture.h"

namespace attnd::oip {
namespace {

class OipTasksTest : public TasksTest {};

TEST_F(OipTasksTest, OpenInferenceFormsOfAClassifier) {
  for (const char* model : {"bert-classify", "albert-classify"}) {
    const golden::Cases& cases = cases_.at(model);
    for (size_t i = 0; i < cases.size(); ++i) {
      const std::vector<float> logits = cases.Floats(i, "logits");
      if (WasCut(cases, i)) continue;
      ModelInferRequest request = Request(model, {cases.Text(i)});
      if (!cases.Pair(i).is_null()) AddRaw(request, "text_pair", "BYTES", {1, 1}, Framed({PairOf(cases, i)}));
      if (!cases.Pair(i).is_null() && cases.Ints(i, "type_ids").empty()) request = Ids(model, cases, i);
      (*request.mutable_parameters())["raw_scores"].set_bool_param(true);
      const Output<float> scores(MustInfer(request), "scores");  // the default output
      EXPECT_EQ(scores.shape, (std::vector<int64_t>{1, static_cast<int64_t>(logits.size())}));
      ExpectNear(scores.values, logits, 2e-4f);
    }
  }
  ModelInferRequest everything = Request("bert-classify", {"one", "two three"});
  for (const char* name : {"scores", "embedding", "last_hidden_state", "attention", "attention_entropy"}) {
    everything.add_outputs()->set_name(name);
  }
  const ModelInferResponse response = MustInfer(everything);
  EXPECT_EQ(response.outputs_size(), 5);
  const Output<float> scores(response, "scores");
  EXPECT_NEAR(scores.values[0] + scores.values[1] + scores.values[2], 1, 1e-5);
}

TEST_F(OipTasksTest, OpenInferenceFormsOfARerankerAndOfTokens) {
  const golden::Cases& cases = cases_.at("roberta-rerank");
  size_t pair = 0;
  while (cases.Pair(pair).is_null() || WasCut(cases, pair)) ++pair;
  const float golden = 1 / (1 + std::exp(-cases.Floats(pair, "logits")[0]));
  ModelInferRequest query = Request("roberta-rerank", {PairOf(cases, pair), "something else"});
  AddRaw(query, "query", "BYTES", {1}, Framed({cases.Text(pair)}));
  const Output<float> ranked(MustInfer(query), "scores");
  EXPECT_EQ(ranked.shape, (std::vector<int64_t>{2}));
  EXPECT_NEAR(ranked.values[0], golden, 1e-4);
  ModelInferRequest pairs = Request("roberta-rerank", {cases.Text(pair)});
  AddRaw(pairs, "text_pair", "BYTES", {1}, Framed({PairOf(cases, pair)}));
  const Output<float> scored(MustInfer(pairs), "scores");
  EXPECT_EQ(scored.shape, (std::vector<int64_t>{1, 1}));
  EXPECT_NEAR(scored.values[0], golden, 1e-4);

  const golden::Cases& tokens = cases_.at("bert-token");
  ModelInferRequest request = Request("bert-token", {tokens.Text(0), "short"});
  (*request.mutable_parameters())["raw_scores"].set_bool_param(true);
  const Output<float> scores(MustInfer(request), "scores");
  const std::vector<float> logits = tokens.Floats(0, "logits");
  EXPECT_EQ(scores.shape, (std::vector<int64_t>{2, static_cast<int64_t>(logits.size()) / 5, 5}));
  ExpectNear({scores.values.begin(), scores.values.begin() + static_cast<long>(logits.size())}, logits, 2e-4f);
  EXPECT_EQ(scores.values.back(), 0) << "padding";
}

}  // namespace
}  // namespace attnd::oip
