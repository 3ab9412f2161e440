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

class QueueRefusedTest : public TasksTest {
 protected:
  QueueRefusedTest() {
    config_.queue.max_queue_requests = 1;
    config_.queue.max_queue_tokens = 8;
  }
};

TEST_F(QueueRefusedTest, WhatTheQueueNeverTakesIsNamedAsTheRequestDoes) {
  v1::RerankRequest rerank;
  rerank.set_model("roberta-rerank");
  rerank.set_query("a");
  v1::ClassifyRequest classify;
  classify.set_model("bert-classify");
  for (int i = 0; i < 2; ++i) {
    rerank.add_documents("a");
    classify.add_texts("a");
  }
  v1::RerankResponse reranked;
  ExpectInvalid(Call(&v1::Attnd::Stub::Rerank, rerank, reranked), "documents", "2 texts in one call");
  v1::ClassifyResponse classified;
  ExpectInvalid(Call(&v1::Attnd::Stub::Classify, classify, classified), "texts", "max_queue_requests");
  for (int i = 0; i < 2; ++i) classify.add_text_pairs("b");
  ExpectInvalid(Call(&v1::Attnd::Stub::Classify, classify, classified), "text_pairs", "max_queue_requests");
  ExpectRefused(Request("bert", {"a", "a"}), "text", "max_queue_requests");
  ModelInferRequest ids;
  ids.set_model_name("bert");
  AddRaw(ids, "input_ids", "INT32", {2, 1}, Bytes<int32_t>({5, 5}));
  ExpectRefused(ids, "input_ids", "max_queue_requests");

  v1::AttendRequest attend;
  attend.set_model("bert");
  attend.set_text(Repeated("a ", 20));
  grpc::ClientContext context;
  v1::AttendFrame frame;
  const auto reader = stub_->Attend(&context, attend);
  EXPECT_FALSE(reader->Read(&frame));
  ExpectInvalid(reader->Finish(), "text", "max_queue_tokens");
}

}  // namespace
}  // namespace attnd::oip
