// What the calls of models with a head refuse, and what they say.
#include <gmock/gmock.h>

#include "tests/server/rpc/tasks_fixture.h"

namespace attnd::oip {
namespace {

using testing::HasSubstr;

class TasksRefusedTest : public TasksTest {};

TEST_F(TasksRefusedTest, AModelWithoutTheHeadSaysWhichItHas) {
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
  ExpectRefused(scores, "outputs[0].name", "no such output");
}

TEST_F(TasksRefusedTest, BadInputNamesTheField) {
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

}  // namespace
}  // namespace attnd::oip
