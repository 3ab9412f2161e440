// Parameters of Open Inference Protocol requests.
#ifndef ATTND_SERVER_RPC_OIP_PARAMETERS_H_
#define ATTND_SERVER_RPC_OIP_PARAMETERS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/attention/selection.h"
#include "inference/grpc_service.pb.h"

namespace attnd {

// A view of a request's parameters, which must outlive it. Each getter answers nothing where the parameter is absent,
// and kInvalidArgument naming the parameter and the type it takes where it is of another one.
class OipParameters {
 public:
  explicit OipParameters(const inference::ModelInferRequest& request) : request_(request) {}

  // kInvalidArgument where there is a parameter beside `known` and those that every model takes: "timeout", what
  // Triton's clients send by themselves ("priority", "sequence_id", ...), and names that begin with "triton_".
  absl::Status RefuseOthers(absl::Span<const absl::string_view> known) const;

  absl::StatusOr<std::optional<bool>> Bool(absl::string_view name) const;
  absl::StatusOr<std::optional<double>> Number(absl::string_view name) const;     // double or integer
  absl::StatusOr<std::optional<int64_t>> Integer(absl::string_view name) const;   // int64 or uint64
  absl::StatusOr<std::optional<std::string>> Text(absl::string_view name) const;  // string, or an integer as its digits

  // "timeout" in microseconds, of 1 or more; nothing where it is absent or 0.
  absl::StatusOr<std::optional<absl::Duration>> Timeout() const;

 private:
  const inference::InferParameter* Find(absl::string_view name) const;
  const inference::ModelInferRequest& request_;
};

// What errors call the parameter `name` of `field`: "field.name", or "field" where it is not fit to be shown.
std::string OipParameterField(absl::string_view field, absl::string_view name);

// The parameters "layers" and "heads": every head chosen of every layer chosen, all where they are absent.
// kInvalidArgument names the one at fault.
absl::StatusOr<HeadSelection> ReadOipSelection(const OipParameters& parameters, int layers, int heads);
// How many layers and heads that is.
struct OipSelectionShape {
  int64_t layers, heads;
};
OipSelectionShape ShapeOf(const HeadSelection& selection);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_PARAMETERS_H_
