// A server whose Attend streams are read whole.
#ifndef ATTND_TESTS_SERVER_RPC_ATTEND_FIXTURE_H_
#define ATTND_TESTS_SERVER_RPC_ATTEND_FIXTURE_H_

#include <algorithm>
#include <string>

#include "tests/server/rpc/fixture.h"

namespace attnd {

// What came of one call of Attend.
struct Attended {
  grpc::Status status;
  v1::AttendHeader header;
  v1::AttendTrailer trailer;
  std::string data;
  int headers = 0, trailers = 0;
  size_t largest = 0;  // bytes of data in a frame
};

class AttendServerTest : public ServerTest {
 protected:
  using ServerTest::ServerTest;
  void SetUp() override { Start(); }

  // Expects the frames to be in order, and where the call succeeds, none to be missing.
  Attended Attend(const v1::AttendRequest& request) {
    Attended answer;
    grpc::ClientContext context;
    auto reader = stub_->Attend(&context, request);
    v1::AttendFrame frame;
    while (reader->Read(&frame)) {
      if (frame.has_header()) {
        EXPECT_TRUE(answer.data.empty());
        answer.header = frame.header();
        ++answer.headers;
      } else if (frame.has_data()) {
        EXPECT_EQ(frame.data().offset(), answer.data.size());
        answer.data += frame.data().data();
        answer.largest = std::max(answer.largest, frame.data().data().size());
      } else {
        answer.trailer = frame.trailer();
        ++answer.trailers;
      }
    }
    answer.status = reader->Finish();
    if (answer.status.ok()) {
      EXPECT_EQ(answer.headers, 1);
      EXPECT_EQ(answer.trailers, 1);
      EXPECT_EQ(answer.data.size(), answer.header.attention().total_bytes());
    }
    return answer;
  }
  Attended MustAttend(const v1::AttendRequest& request) {
    Attended answer = Attend(request);
    EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
    return answer;
  }
  grpc::Status Estimate(const v1::EstimateAttentionRequest& request, v1::EstimateAttentionResponse& response) {
    grpc::ClientContext context;
    return stub_->EstimateAttention(&context, request, &response);
  }
  // What Attend would send.
  v1::EstimateAttentionResponse Estimate(const v1::AttendRequest& request) {
    v1::EstimateAttentionRequest estimate;
    estimate.set_text(request.text());
    *estimate.mutable_attention() = request.attention();
    v1::EstimateAttentionResponse response;
    const grpc::Status status = Estimate(estimate, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
};

}  // namespace attnd

#endif  // ATTND_TESTS_SERVER_RPC_ATTEND_FIXTURE_H_
