// Generations that end early or wait: clients that leave or do not read, deadlines, full queues, drain, unload.
#include <gmock/gmock.h>

#include <atomic>

#include "tests/server/rpc/generation_fixture.h"

namespace attnd {
namespace {

class GenerateAbandonedTest : public GenerationServerTest {
 protected:
  double Finished(FinishReason reason) {
    return server_->context().metrics.Generation("llama").finished[static_cast<size_t>(reason)]->Value();
  }
  // A call whose client has read the start and no more, so that it is held back.
  std::unique_ptr<GenerateStream> HeldBack(v1::Attnd::Stub& stub) {
    auto stream = std::make_unique<GenerateStream>(stub, Endless());
    EXPECT_TRUE(stream->Read());
    // Until nothing has come for a while: the transport takes some more before it is full.
    int64_t tokens = 0;
    int quiet = 0;
    EXPECT_TRUE(Eventually([&] {
      const GeneratorStats stats = Stats();
      quiet = stats.running == 0 && stats.generated_tokens == tokens ? quiet + 1 : 0;
      tokens = stats.generated_tokens;
      return tokens > 0 && quiet > 100;
    }));
    return stream;
  }
};

TEST_F(GenerateAbandonedTest, AThousandClientsLeave) {
  Start();
  std::atomic<int> left{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 250; ++i) {
        v1::GenerateRequest request = Endless();
        request.mutable_options()->set_n(2);
        GenerateStream stream(*stub_, request);
        for (int reads = 0; reads < (i + t) % 4; ++reads) stream.Read();
        stream.context().TryCancel();
        left += stream.Finish().status.error_code() == grpc::StatusCode::CANCELLED;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(left, 1000);
  EXPECT_TRUE(Idle());
  EXPECT_EQ(Stats().waiting, 0);
  EXPECT_EQ(Stats().waiting_tokens, 0);
  ExpectWell();
}

TEST_F(GenerateAbandonedTest, AClientThatDoesNotReadIsHeldBackAndGetsAllInTheEnd) {
  Start();
  const auto stub = NarrowStub();
  const auto stream = HeldBack(*stub);
  const int64_t tokens = Stats().generated_tokens;
  EXPECT_LT(tokens, 2000);  // of 8,000
  ExpectWell();             // others go on
  // The last token is counted after it has been handed on.
  EXPECT_TRUE(Eventually([&] { return Stats().generated_tokens == tokens + 24; })) << Stats().generated_tokens;
  // A call is in flight until after its client has the status.
  EXPECT_TRUE(Eventually([&] { return server_->context().drain.in_flight() == 1; }));
  const Generated& result = stream->Finish();
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.ends.size(), 16u);
  EXPECT_EQ(result.summary.generated_tokens(), 8000u);
  EXPECT_TRUE(Idle());
}

TEST_F(GenerateAbandonedTest, ThosePausedGiveTheirPagesToOthers) {
  config_.generation.kv_cache_bytes = 41 * KvPages::BytesPerPage({3, 3, 16, KvType::kF32});
  config_.generation.max_running_sequences = 16;
  Start();
  const auto stub = NarrowStub();
  const auto stream = HeldBack(*stub);
  EXPECT_GT(Stats().pages_used, 10);
  v1::GenerateRequest request = Request();
  request.mutable_input_ids()->mutable_ids()->Resize(400, 3);  // 27 pages with its answer
  const Generated long_one = Generate(request);
  EXPECT_TRUE(long_one.status.ok()) << long_one.status.error_message();
  EXPECT_GT(Stats().preemptions, 0);
  const Generated& result = stream->Finish();
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.summary.generated_tokens(), 8000u);
  EXPECT_TRUE(Idle());
}

TEST_F(GenerateAbandonedTest, ADeadlineEndsAlsoThoseWhoDoNotRead) {
  config_.limits.default_generation_deadline = absl::Milliseconds(300);
  Start();
  const auto stub = NarrowStub();
  const auto stream = HeldBack(*stub);
  EXPECT_TRUE(Eventually([&] { return Stats().pages_used == 0; }));
  EXPECT_EQ(Finished(FinishReason::kCancelled), 16);
  const Generated& result = stream->Finish();
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << result.status.error_message();
  EXPECT_TRUE(Idle());
}

TEST_F(GenerateAbandonedTest, AFullQueueSaysWhenToTryAgain) {
  config_.queue.max_queue_requests = 20;
  config_.generation.max_running_sequences = 1;
  Start();
  v1::GenerateRequest request = Endless();
  request.mutable_options()->set_n(21);
  ExpectInvalid(Generate(request).status, "options.n", "21 in one call, the queue takes at most 20");
  const auto stub = NarrowStub();
  const auto stream = HeldBack(*stub);  // paused ones that were not begun wait
  EXPECT_GT(Stats().waiting, 0);
  request.mutable_options()->set_n(20);
  const Generated refused = Generate(request);
  ExpectFullQueue(refused.status);
  stream->context().TryCancel();
  stream->Finish();
  EXPECT_TRUE(Idle());
  ExpectWell();
}

TEST_F(GenerateAbandonedTest, ShuttingDownFinishesWhatRuns) {
  config_.drain_timeout = absl::Minutes(2);  // under a sanitizer it takes long
  Start();
  const auto stub = NarrowStub();
  const auto stream = HeldBack(*stub);
  std::thread shutdown([&] { server_->Shutdown(); });
  ASSERT_TRUE(Eventually([&] { return server_->context().drain.started(); }));
  const Generated late = Generate(Request());
  EXPECT_EQ(late.status.error_code(), grpc::StatusCode::UNAVAILABLE) << late.status.error_message();
  const Generated& result = stream->Finish();
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.summary.generated_tokens(), 8000u);
  shutdown.join();
}

TEST_F(GenerateAbandonedTest, ShuttingDownDoesNotWaitForThoseWhoDoNotRead) {
  config_.drain_timeout = absl::Milliseconds(50);
  Start();
  const auto stub = NarrowStub();
  const auto stream = HeldBack(*stub);
  server_->Shutdown();
  EXPECT_FALSE(stream->Finish().status.ok());
}

}  // namespace
}  // namespace attnd
