// FillMask against what transformers made of the same model, and the bounds of its candidates.
#include <gmock/gmock.h>

#include <limits>

#include "server/rpc/scores.h"
#include "tests/server/rpc/tasks_fixture.h"

namespace attnd::oip {
namespace {

using testing::HasSubstr;

class FillMaskTest : public TasksTest {};

TEST_F(FillMaskTest, FillMaskGivesTheBestOfTheGoldenLogits) {
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
    ExpectNear(Output<float>(MustInfer(golden), "scores").values, cases.Floats(i, "logits"), 2e-4f);
  }
  ModelInferRequest all = Request("bert-mlm", {"short", request.texts(0)});
  all.add_outputs()->set_name("scores");
  const Output<float> scores(MustInfer(all), "scores");
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

TEST_F(FillMaskTest, CandidatesOfMasksAreBounded) {
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
TEST_F(FillMaskTest, CandidatesThatNobodyWaitsForAreNotMade) {
  v1::FillMaskRequest fill;
  fill.set_model("bert-mlm");
  fill.set_top_k(800);
  for (int i = 0; i < 8; ++i) fill.add_texts(Repeated("[MASK] word ", 40));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
  v1::FillMaskResponse filled;
  EXPECT_EQ(stub_->FillMask(&context, fill, &filled).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  const absl::Time end = absl::Now();
  EXPECT_TRUE(Eventually([&] { return server_->context().attention_memory.used_bytes() == 0; }));
  EXPECT_LT(absl::Now() - end, absl::Seconds(2));
}

}  // namespace
}  // namespace attnd::oip
