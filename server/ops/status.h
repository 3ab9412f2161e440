// Status: absl::Status inside the server, grpc::Status with details at its edge.
#ifndef ATTND_SERVER_OPS_STATUS_H_
#define ATTND_SERVER_OPS_STATUS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "google/rpc/status.pb.h"
#include "grpcpp/support/status.h"

namespace grpc {
class ServerContextBase;
}

namespace attnd {

// kInvalidArgument "field: description" with a google.rpc.BadRequest violation. `field` is the path in the request:
// "texts[3]"; `description` names the fault and the limit and never holds request text.
absl::Status FieldError(absl::string_view field, absl::string_view description);
// Puts a field to a core error: "field: message", with the violation where the code is kInvalidArgument or kOutOfRange.
// OK stays OK.
absl::Status WithField(const absl::Status& status, absl::string_view field);
// Why the call was refused, for the metric attnd_rejected_total and the log: a short constant such as "queue_full".
// `retry_after` above zero adds google.rpc.RetryInfo and gRPC's push-back trailer. OK stays OK.
absl::Status WithReason(absl::Status status, absl::string_view reason,
                        absl::Duration retry_after = absl::ZeroDuration());
// What Batcher::Submit answered, with its reason: "queue_full" (retry), "too_large", "deadline", "draining". `field` is
// what the request calls that which was submitted.
absl::Status SubmitError(const absl::Status& status, absl::string_view field);

// The reason given by WithReason, else one by the code: "invalid", "unknown_model", "deadline", "draining", ...
absl::string_view RejectionReason(const absl::Status& status);
// All that it may be.
absl::Span<const absl::string_view> RejectionReasons();

// The status to finish a call with; messages are cut to 1,000 bytes. Sets the push-back trailer on `context` where
// there is one and the status says when to retry: call it before the call's trailers are sent.
grpc::Status ToGrpcStatus(const absl::Status& status, grpc::ServerContextBase* context = nullptr);
// The same as data, for the items of streams.
google::rpc::Status ToRpcStatus(const absl::Status& status);

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_STATUS_H_
