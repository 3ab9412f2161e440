// EmbedStream: order, failures inside the stream, how far it reads ahead.
#include <atomic>

#include "tests/server/rpc/fixture.h"

namespace attnd {
namespace {

class EmbedStreamTest : public ServerTest {
 protected:
  static v1::EmbedStreamRequest Item(uint64_t id, const std::string& text) {
    v1::EmbedStreamRequest item;
    item.set_id(id);
    item.mutable_request()->add_texts(text);
    return item;
  }
};

TEST_F(EmbedStreamTest, ResponsesComeInTheOrderOfTheRequests) {
  Start();
  grpc::ClientContext context;
  auto stream = stub_->EmbedStream(&context);
  constexpr int kItems = 300;
  const auto text = [](int i) {
    std::string result;
    for (int w = 0; w <= (i * 37) % 60; ++w) result += "good ";
    return result;
  };
  std::thread writer([&] {
    for (int i = 0; i < kItems; ++i) {
      v1::EmbedStreamRequest item = Item(1000 - i, text(i));
      if (i == 7) item.mutable_request()->set_model("nobody");
      if (i == 11) item.mutable_request()->clear_texts();
      if (!stream->Write(item)) break;
    }
    stream->WritesDone();
  });
  v1::EmbedStreamResponse response;
  int next = 0;
  std::vector<std::vector<float>> vectors;
  while (stream->Read(&response)) {
    EXPECT_EQ(response.id(), static_cast<uint64_t>(1000 - next));
    if (next == 7) {
      EXPECT_EQ(response.error().code(), grpc::StatusCode::NOT_FOUND);
    } else if (next == 11) {
      EXPECT_EQ(response.error().code(), grpc::StatusCode::INVALID_ARGUMENT);
      EXPECT_EQ(response.error().details_size(), 1);
    } else {
      EXPECT_EQ(response.response().texts(0).tokens(), static_cast<uint32_t>((next * 37) % 60 + 3));
      EXPECT_EQ(response.response().vectors().size(), 96u * 4);
    }
    ++next;
  }
  writer.join();
  EXPECT_EQ(next, kItems);
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(EmbedStreamTest, VectorsAreTheReferences) {
  Start();
  grpc::ClientContext context;
  auto stream = stub_->EmbedStream(&context);
  for (size_t i = 0; i < golden_.size(); ++i) ASSERT_TRUE(stream->Write(Item(i, golden_.Text(i))));
  stream->WritesDone();
  v1::EmbedStreamResponse response;
  for (size_t i = 0; i < golden_.size(); ++i) {
    ASSERT_TRUE(stream->Read(&response));
    ExpectNear(Floats(response.response().vectors()), GoldenEmbedding(i));
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(EmbedStreamTest, ReadsAheadABoundedNumberOfItems) {
  StartIdle();
  const int bound = 16;
  grpc::ClientContext context;
  auto stream = stub_->EmbedStream(&context);
  // The transport takes small messages whether the server reads them or not.
  for (int i = 0; i < 3 * bound; ++i) ASSERT_TRUE(stream->Write(Item(i, "waits")));
  EXPECT_TRUE(Eventually([&] { return Queued() == bound; }));
  const MethodMetrics& method = server_->context().metrics.Method("attnd.v1.Attnd", "EmbedStream");
  EXPECT_EQ(method.received->Value(), bound);
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Idle());
  EXPECT_EQ(Queued(), 0);
  EXPECT_EQ(method.received->Value(), bound);
}

TEST_F(EmbedStreamTest, AnIdleStreamDoesNotHoldUpTheDrain) {
  Start();
  grpc::ClientContext context;
  auto stream = stub_->EmbedStream(&context);
  ASSERT_TRUE(stream->Write(Item(1, "first")));
  v1::EmbedStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  const absl::Time begin = absl::Now();
  server_->Shutdown();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(4));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace attnd
