// The built-in model `attention` of the Open Inference Protocol: its inputs and outputs.
#ifndef ATTND_SERVER_RPC_OIP_ATTENTION_H_
#define ATTND_SERVER_RPC_OIP_ATTENTION_H_

#include <array>

#include "absl/strings/string_view.h"

namespace attnd {

// In the order of ReadOipOutputs; the first one is the default.
inline constexpr std::array<absl::string_view, 3> kOipAttentionOutputs = {"output", "weights", "entropy"};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_ATTENTION_H_
