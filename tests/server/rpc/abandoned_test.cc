// Calls that end early: full queues, deadlines, clients that leave, a server that shuts down.
#include "tests/server/rpc/fixture.h"

namespace attnd {
namespace {

class AbandonedTest : public ServerTest {
 protected:
  // An Embed call on a thread of its own.
  struct Pending {
    grpc::ClientContext context;
    v1::EmbedResponse response;
    grpc::Status status;
    std::thread thread;
  };
  std::unique_ptr<Pending> Send(int texts) {
    auto pending = std::make_unique<Pending>();
    pending->thread = std::thread([this, texts, call = pending.get()] {
      v1::EmbedRequest request;
      for (int i = 0; i < texts; ++i) request.add_texts("good before");
      call->status = stub_->Embed(&call->context, request, &call->response);
    });
    return pending;
  }
  double Handled(const std::string& method, grpc::StatusCode code) {
    return server_->context().metrics.Method("attnd.v1.Attnd", method).handled[code]->Value();
  }
};

TEST_F(AbandonedTest, AFullQueueSaysWhenToTryAgain) {
  config_.queue.max_queue_requests = 10;
  StartIdle();
  const auto waiting = Send(8);
  ASSERT_TRUE(Eventually([&] { return Queued() == 8; }));
  const auto refused = Send(3);
  refused->thread.join();
  ExpectFullQueue(refused->status);
  EXPECT_EQ(refused->context.GetServerTrailingMetadata().count("grpc-retry-pushback-ms"), 1u);
  EXPECT_EQ(Queued(), 8);  // refused whole
  const auto never = Send(11);
  never->thread.join();
  ExpectInvalid(never->status, "texts", "10");
  waiting->context.TryCancel();
  waiting->thread.join();
  EXPECT_TRUE(Idle());
}

TEST_F(AbandonedTest, ADeadlineEndsTheWait) {
  config_.limits.default_deadline = absl::Milliseconds(50);
  config_.queue.max_queue_delay_us = 200000;  // no batch is formed before
  Start();
  const auto waiting = Send(4);
  waiting->thread.join();
  EXPECT_EQ(waiting->status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED) << waiting->status.error_message();
  EXPECT_EQ(Queued(), 0);
  EXPECT_EQ(Handled("Embed", grpc::StatusCode::DEADLINE_EXCEEDED), 1);
}

TEST_F(AbandonedTest, ADeadlineThatHasPassed) {
  Start();
  v1::EmbedRequest request;
  request.add_texts("a");
  v1::EmbedResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() - std::chrono::seconds(1));
  EXPECT_EQ(stub_->Embed(&context, request, &response).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  ExpectAlive();
}

TEST_F(AbandonedTest, ACancelledCallLeavesTheQueue) {
  StartIdle();
  const auto waiting = Send(5);
  ASSERT_TRUE(Eventually([&] { return Queued() == 5; }));
  waiting->context.TryCancel();
  waiting->thread.join();
  EXPECT_EQ(waiting->status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return Queued() == 0; }));
  EXPECT_TRUE(Idle());
  EXPECT_EQ(Handled("Embed", grpc::StatusCode::CANCELLED), 1);
}

TEST_F(AbandonedTest, AClientThatStopsReadingFrames) {
  Start();
  v1::AttendRequest request;
  request.set_text(Repeated("good ", 120));
  request.set_chunk_bytes(1024);
  const MethodMetrics& method = server_->context().metrics.Method("attnd.v1.Attnd", "Attend");
  const auto stub = NarrowStub();
  {
    grpc::ClientContext context;
    auto reader = stub->Attend(&context, request);
    v1::AttendFrame frame;
    ASSERT_TRUE(reader->Read(&frame));
    ASSERT_TRUE(reader->Read(&frame));
    ExpectAlive();  // a reader that waits holds nobody up
    EXPECT_TRUE(Eventually([&] { return server_->context().drain.in_flight() == 1; }));
    context.TryCancel();
    EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(Idle());
  EXPECT_LT(method.sent->Value(), 500);  // of more than 1,000 frames
  EXPECT_EQ(Handled("Attend", grpc::StatusCode::CANCELLED), 1);
  ExpectAlive();
}

TEST_F(AbandonedTest, ManyClientsLeaveAtOnce) {
  Start();
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<Pending>> calls;
    for (int i = 0; i < 20; ++i) calls.push_back(Send(50));
    for (size_t i = 0; i < calls.size(); i += 2) calls[i]->context.TryCancel();
    for (const auto& call : calls) call->thread.join();
    for (size_t i = 1; i < calls.size(); i += 2) {
      EXPECT_TRUE(calls[i]->status.ok()) << calls[i]->status.error_message();
    }
  }
  EXPECT_TRUE(Idle());
  EXPECT_EQ(Queued(), 0);
  ExpectAlive();
}

TEST_F(AbandonedTest, ShuttingDownRefusesAndFinishes) {
  StartIdle();
  const auto waiting = Send(3);
  ASSERT_TRUE(Eventually([&] { return Queued() == 3; }));
  std::thread shutdown([&] { server_->Shutdown(); });
  ASSERT_TRUE(Eventually([&] { return server_->context().drain.started(); }));
  const auto late = Send(1);
  late->thread.join();
  EXPECT_EQ(late->status.error_code(), grpc::StatusCode::UNAVAILABLE) << late->status.error_message();
  waiting->context.TryCancel();
  waiting->thread.join();
  shutdown.join();
}

}  // namespace
}  // namespace attnd
