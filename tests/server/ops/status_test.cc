#include "server/ops/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "google/rpc/error_details.pb.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

TEST(StatusTest, AFieldErrorCarriesTheViolation) {
  const absl::Status status = FieldError("texts[3]", "1204 tokens, the model takes 512");
  const grpc::Status edge = ToGrpcStatus(status);
  EXPECT_EQ(edge.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(edge.error_message(), "texts[3]: 1204 tokens, the model takes 512");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(edge.error_details()));
  EXPECT_EQ(details.code(), 3);
  ASSERT_EQ(details.details_size(), 1);
  google::rpc::BadRequest bad;
  ASSERT_TRUE(details.details(0).UnpackTo(&bad));
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "texts[3]");
  EXPECT_EQ(bad.field_violations(0).description(), "1204 tokens, the model takes 512");
  EXPECT_EQ(RejectionReason(status), "invalid");
}

TEST(StatusTest, OkStaysOk) {
  EXPECT_TRUE(WithField(absl::OkStatus(), "x").ok());
  EXPECT_TRUE(WithReason(absl::OkStatus(), "queue_full", absl::Seconds(1)).ok());
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
}

TEST(StatusTest, OtherCodesKeepTheFieldInTheMessageOnly) {
  const absl::Status status = WithField(absl::NotFoundError("no such model"), "model");
  EXPECT_EQ(status.message(), "model: no such model");
  EXPECT_TRUE(ToGrpcStatus(status).error_details().empty());
  EXPECT_EQ(RejectionReason(status), "unknown_model");
}

TEST(StatusTest, AFullQueueSaysWhenToRetry) {
  const absl::Status status = SubmitError(absl::ResourceExhaustedError("the queue is full"), "texts");
  EXPECT_EQ(RejectionReason(status), "queue_full");
  const google::rpc::Status details = ToRpcStatus(status);
  ASSERT_EQ(details.details_size(), 1);
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(details.details(0).UnpackTo(&retry));
  EXPECT_EQ(retry.retry_delay().seconds(), 0);
  EXPECT_EQ(retry.retry_delay().nanos(), 100000000);
  EXPECT_EQ(RejectionReason(SubmitError(absl::UnavailableError("shutting down"), "texts")), "draining");
  EXPECT_EQ(RejectionReason(SubmitError(absl::DeadlineExceededError("late"), "texts")), "deadline");
  EXPECT_EQ(RejectionReason(SubmitError(absl::InvalidArgumentError("too many"), "texts")), "too_large");
  EXPECT_EQ(SubmitError(absl::InvalidArgumentError("too many"), "documents").message(), "documents: too many");
}

TEST(StatusTest, MessagesAreBoundedBetweenCharacters) {
  std::string message = std::string(998, 'a');
  for (int i = 0; i < 100; ++i) message += "\u00e9";  // two bytes each
  const grpc::Status even = ToGrpcStatus(absl::InternalError(message));
  EXPECT_EQ(even.error_message().size(), 1000u);
  const grpc::Status odd = ToGrpcStatus(absl::InternalError("b" + message));
  EXPECT_EQ(odd.error_message().size(), 999u);
  const absl::Status field = FieldError(std::string(5000, 'f'), "wrong");
  EXPECT_THAT(std::string(field.message()), HasSubstr("f: wrong"));
  EXPECT_LT(field.message().size(), 300u);
}

TEST(StatusTest, UnknownReasonsFallBackToTheCode) {
  EXPECT_EQ(RejectionReason(WithReason(absl::InternalError("x"), "made up by a caller")), "internal");
  EXPECT_EQ(RejectionReason(WithReason(absl::ResourceExhaustedError("x"), "attention_cap")), "attention_cap");
}

}  // namespace
}  // namespace attnd
