// attnd.v1's AttentionSpec as the core understands it.
#ifndef ATTND_SERVER_RPC_ATTENTION_SPEC_H_
#define ATTND_SERVER_RPC_ATTENTION_SPEC_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attnd/v1/attention.pb.h"
#include "core/attention/spec.h"

namespace attnd {

// For a model of that many layers and heads. `field`: where the specification stands in the request. kInvalidArgument
// names "field.part" and the limit.
absl::StatusOr<AttentionSpec> ToAttentionSpec(const v1::AttentionSpec& spec, int layers, int heads,
                                              absl::string_view field = "attention");

// Puts a field to an error of core/attention, which may begin with the name of the part at fault: "top_k: ..." becomes
// "attention.top_k: ...". OK stays OK.
absl::Status AttentionError(const absl::Status& status, absl::string_view field);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_ATTENTION_SPEC_H_
