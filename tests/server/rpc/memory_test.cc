// The bound on what all calls together hold for attention and scores.
#include <gmock/gmock.h>

#include "server/ops/memory_budget.h"
#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {
namespace {

using testing::HasSubstr;

TEST(MemoryBudgetTest, LeasesComeBack) {
  MemoryBudget budget(100);
  {
    MemoryBudget::Lease first, second;
    EXPECT_TRUE(budget.Take(60, first));
    EXPECT_FALSE(budget.Take(41, second));
    EXPECT_TRUE(budget.Take(40, first));
    EXPECT_FALSE(budget.Take(1, second));
    EXPECT_TRUE(budget.Take(0, second));
    EXPECT_EQ(budget.used_bytes(), 100);
    MemoryBudget::Lease moved = std::move(first);
    EXPECT_EQ(budget.used_bytes(), 100);
  }
  EXPECT_EQ(budget.used_bytes(), 0);
}

TEST(MemoryBudgetTest, ManyThreadsNeverExceedIt) {
  MemoryBudget budget(1000);
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20000; ++i) {
        MemoryBudget::Lease lease;
        budget.Take(1 + i % 700, lease);
        if (budget.used_bytes() > 1000) exceeded = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(budget.used_bytes(), 0);
}

class MemoryTest : public ServerTest {
 protected:
  // 3 layers x 6 heads x 3 tokens x 3 tokens x 4 bytes.
  static v1::EmbedRequest OneText() {
    v1::EmbedRequest request;
    request.add_texts("a");
    request.mutable_attention();
    return request;
  }
  int64_t used() { return server_->context().attention_memory.used_bytes(); }
};

TEST_F(MemoryTest, ACallThatNeverFitsIsRefusedForGood) {
  config_.limits.max_attention_memory_bytes = 100;
  Start();
  v1::EmbedResponse response;
  const grpc::Status status = Embed(OneText(), response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("of the server's 100 (max_attention_memory_bytes)"));
  EXPECT_THAT(status.error_details(), testing::Not(HasSubstr("RetryInfo")));
  EXPECT_THAT(server_->context().metrics.Text(), HasSubstr("attnd_rejected_total{reason=\"attention_memory\"} 1"));
  EXPECT_EQ(used(), 0);
  ExpectAlive();
}

TEST_F(MemoryTest, CallsInFlightLeaveTheRest) {
  config_.limits.max_attention_memory_bytes = 1000;
  StartIdle();
  grpc::ClientContext waits;
  v1::EmbedResponse first, second;
  std::thread caller([&] { stub_->Embed(&waits, OneText(), &first); });
  EXPECT_TRUE(Eventually([&] { return used() > 500; }));
  const grpc::Status status = Embed(OneText(), second);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_details(), HasSubstr("RetryInfo")) << status.error_message();
  waits.TryCancel();
  caller.join();
  EXPECT_TRUE(Eventually([&] { return used() == 0; }));
}

TEST_F(MemoryTest, AnAnswerOfAStreamCountsUntilItIsTaken) {
  Start();
  grpc::ClientContext context;
  const auto stream = stub_->EmbedStream(&context);
  v1::EmbedStreamRequest request;
  *request.mutable_request() = OneText();
  request.mutable_request()->set_truncate(v1::TRUNCATION_END);
  const std::string words = Repeated("a ", 200);
  for (int i = 0; i < 64; ++i) request.mutable_request()->add_texts(words);  // more than any window of HTTP/2
  ASSERT_TRUE(stream->Write(request));
  const prometheus::Counter& sent = *server_->context().metrics.Method("attnd.v1.Attnd", "EmbedStream").sent;
  EXPECT_TRUE(Eventually([&] { return sent.Value() == 1; }));
  absl::SleepFor(absl::Milliseconds(50));
  EXPECT_GT(used(), 10 << 20);
  v1::EmbedStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(Eventually([&] { return used() == 0; }));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

// A message for every token: many times the bytes of the texts.
TEST_F(MemoryTest, TokensOfTokenizeCountToo) {
  config_.limits.max_attention_bytes = 50000;
  config_.limits.max_attention_memory_bytes = 60000;
  Start();
  const auto tokenize = [&](int texts, int words) {
    v1::TokenizeRequest request;
    for (int i = 0; i < texts; ++i) request.add_texts(Repeated("a ", words));
    grpc::ClientContext context;
    v1::TokenizeResponse response;
    return stub_->Tokenize(&context, request, &response);
  };
  EXPECT_TRUE(tokenize(2, 98).ok());
  EXPECT_TRUE(Eventually([&] { return used() == 0; }));
  const grpc::Status never = tokenize(4, 98);
  EXPECT_EQ(never.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(never.error_message(), HasSubstr("the tokens of 4 texts need 64000 bytes, the limit is 50000"));
  EXPECT_THAT(never.error_message(), HasSubstr("max_attention_bytes"));
  MemoryBudget::Lease others;
  ASSERT_TRUE(server_->context().attention_memory.Take(40000, others));
  const grpc::Status later = tokenize(2, 98);
  EXPECT_EQ(later.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(later.error_message(), HasSubstr("of the server's 60000 (max_attention_memory_bytes)"));
  EXPECT_THAT(later.error_details(), HasSubstr("RetryInfo"));
}

TEST_F(MemoryTest, OutputsOfTheOpenInferenceProtocolCountToo) {
  config_.limits.max_attention_memory_bytes = 1000;
  Start();
  const auto inference = inference::GRPCInferenceService::NewStub(channel_);
  grpc::ClientContext context;
  ModelInferResponse response;
  const grpc::Status status = inference->ModelInfer(&context, Texts({"a b c"}, {"last_hidden_state"}), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("max_attention_memory_bytes"));
}

}  // namespace
}  // namespace attnd::oip
