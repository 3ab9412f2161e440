// Encoder models in the Open Inference Protocol: what their requests may hold.
#ifndef ATTND_SERVER_RPC_OIP_ENCODER_H_
#define ATTND_SERVER_RPC_OIP_ENCODER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/attention/selection.h"
#include "core/model/config.h"
#include "core/text/tokenizer.h"
#include "inference/grpc_service.pb.h"

namespace attnd {

// In the order of ReadOipOutputs; the first one is the default.
enum OipEncoderOutput {
  kOutEmbedding,
  kOutLastHidden,
  kOutAttention,
  kOutEntropy,
  kOutTokenIds,
  kOutTokenCount,
  kOutTokens,
  kOutTokenSpans
};
inline constexpr std::array<absl::string_view, 8> kOipEncoderOutputs = {
    "embedding", "last_hidden_state", "attention", "attention_entropy",
    "token_ids", "token_count",       "tokens",    "token_spans"};

// A request to an encoder, checked but for the texts themselves.
struct OipEncoderRequest {
  std::vector<absl::string_view> texts;        // [n]; empty: sequences come as ids. Views into the request
  std::vector<std::vector<int32_t>> ids;       // [n][tokens], padding cut off; empty: texts
  std::vector<std::vector<int32_t>> type_ids;  // [n][tokens], or empty: all 0
  std::vector<bool> outputs;                   // by OipEncoderOutput
  HeadSelection selection;                     // of the attention outputs: every head chosen of every layer chosen
  Truncate truncate = Truncate::kRefuse;
  std::optional<bool> normalize;

  bool Wants(OipEncoderOutput output) const { return outputs[output]; }
  bool RunsModel() const {
    return Wants(kOutEmbedding) || Wants(kOutLastHidden) || Wants(kOutAttention) || Wants(kOutEntropy);
  }

  // kInvalidArgument names the tensor or parameter and the limit.
  static absl::StatusOr<OipEncoderRequest> Read(const inference::ModelInferRequest& request, const ModelConfig& config);
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_ENCODER_H_
