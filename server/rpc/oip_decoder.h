// Decoder models in the Open Inference Protocol: what their requests may hold.
#ifndef ATTND_SERVER_RPC_OIP_DECODER_H_
#define ATTND_SERVER_RPC_OIP_DECODER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "attnd/v1/generation.pb.h"
#include "core/attention/selection.h"
#include "inference/grpc_service.pb.h"
#include "server/ops/model_registry.h"

namespace attnd {

// In the order of ReadOipOutputs.
enum OipDecoderOutput { kGenText, kGenTokenIds, kGenLogprobs, kGenPromptLogprobs, kGenAttention };
inline constexpr std::array<absl::string_view, 5> kOipDecoderOutputs = {"text", "token_ids", "logprobs",
                                                                        "prompt_logprobs", "attention"};

// A request to a decoder, checked but for the prompt and for what the core checks of the options.
struct OipDecoderRequest {
  std::optional<absl::string_view> text;  // a view into the request; nothing: the prompt comes as ids
  std::vector<int32_t> ids;
  bool add_special_tokens = true;  // to text
  std::vector<bool> outputs;       // by OipDecoderOutput; without a list text and token_ids
  HeadSelection selection;         // of the attention: every head chosen of every layer chosen
  v1::GenerationOptions options;   // the parameters, under the names that they have there

  bool Wants(OipDecoderOutput output) const { return outputs[output]; }

  // `stream`: of ModelStreamInfer. kInvalidArgument names the tensor or parameter and the limit.
  static absl::StatusOr<OipDecoderRequest> Read(const inference::ModelInferRequest& request, const ModelShape& shape,
                                                bool stream);
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_DECODER_H_
