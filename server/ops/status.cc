#include "server/ops/status.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"

namespace attnd {
namespace {

constexpr char kBadRequest[] = "type.googleapis.com/google.rpc.BadRequest";
constexpr char kRetryInfo[] = "type.googleapis.com/google.rpc.RetryInfo";
constexpr char kReason[] = "attnd/reason";
constexpr size_t kMaxMessageBytes = 1000;
constexpr size_t kMaxFieldBytes = 200;

// At most `limit` bytes, cut between characters.
absl::string_view Bounded(absl::string_view text, size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  return text.substr(0, limit);
}

absl::string_view ReasonOfCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kFailedPrecondition:
      return "invalid";
    case absl::StatusCode::kNotFound:
      return "unknown_model";
    case absl::StatusCode::kDeadlineExceeded:
      return "deadline";
    case absl::StatusCode::kCancelled:
      return "cancelled";
    case absl::StatusCode::kUnavailable:
      return "draining";
    case absl::StatusCode::kResourceExhausted:
      return "resource_exhausted";
    case absl::StatusCode::kUnimplemented:
      return "unimplemented";
    default:
      return "internal";
  }
}

}  // namespace

absl::Span<const absl::string_view> RejectionReasons() {
  static constexpr absl::string_view kReasons[] = {
      "attention_cap", "attention_memory", "cancelled", "deadline",           "draining",      "internal",
      "invalid",       "queue_full",       "too_large", "resource_exhausted", "unimplemented", "unknown_model"};
  return kReasons;
}

absl::Status FieldError(absl::string_view field, absl::string_view description) {
  return WithField(absl::InvalidArgumentError(description), field);
}

absl::Status WithField(const absl::Status& status, absl::string_view field) {
  if (status.ok()) return status;
  field = Bounded(field, kMaxFieldBytes);
  absl::Status result(status.code(), absl::StrCat(field, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  if (status.code() != absl::StatusCode::kInvalidArgument && status.code() != absl::StatusCode::kOutOfRange)
    return result;
  google::rpc::BadRequest details;
  auto* violation = details.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(Bounded(status.message(), kMaxMessageBytes)));
  result.SetPayload(kBadRequest, absl::Cord(details.SerializeAsString()));
  return result;
}

absl::Status WithReason(absl::Status status, absl::string_view reason, absl::Duration retry_after) {
  if (status.ok()) return status;
  status.SetPayload(kReason, absl::Cord(reason));
  if (retry_after > absl::ZeroDuration()) {
    google::rpc::RetryInfo details;
    details.mutable_retry_delay()->set_seconds(absl::ToInt64Seconds(retry_after));
    details.mutable_retry_delay()->set_nanos(
        static_cast<int32_t>(absl::ToInt64Nanoseconds(retry_after - absl::Floor(retry_after, absl::Seconds(1)))));
    status.SetPayload(kRetryInfo, absl::Cord(details.SerializeAsString()));
  }
  return status;
}

absl::Status SubmitError(const absl::Status& status, absl::string_view field) {
  switch (status.code()) {
    case absl::StatusCode::kResourceExhausted:
      return WithReason(status, "queue_full", absl::Milliseconds(100));
    case absl::StatusCode::kInvalidArgument:
      return WithReason(WithField(status, field), "too_large");
    default:
      return status;
  }
}

absl::string_view RejectionReason(const absl::Status& status) {
  if (const auto payload = status.GetPayload(kReason)) {
    // What the status carries is looked up among the constants, so that the result needs no owner.
    for (absl::string_view reason : RejectionReasons()) {
      if (*payload == reason) return reason;
    }
  }
  return ReasonOfCode(status.code());
}

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status result;
  result.set_code(static_cast<int>(status.code()));
  result.set_message(std::string(Bounded(status.message(), kMaxMessageBytes)));
  for (const char* url : {kBadRequest, kRetryInfo}) {
    if (const auto payload = status.GetPayload(url)) {
      auto* detail = result.add_details();
      detail->set_type_url(url);
      detail->set_value(std::string(*payload));
    }
  }
  return result;
}

grpc::Status ToGrpcStatus(const absl::Status& status, grpc::ServerContextBase* context) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status details = ToRpcStatus(status);
  if (const auto retry = status.GetPayload(kRetryInfo); retry && context != nullptr) {
    google::rpc::RetryInfo info;
    if (info.ParseFromString(std::string(*retry))) {
      const int64_t ms = info.retry_delay().seconds() * 1000 + info.retry_delay().nanos() / 1000000;
      context->AddTrailingMetadata("grpc-retry-pushback-ms", absl::StrCat(ms));
    }
  }
  return {static_cast<grpc::StatusCode>(status.code()), details.message(),
          details.details_size() == 0 ? std::string() : details.SerializeAsString()};
}

}  // namespace attnd
