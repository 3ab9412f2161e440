// RoPE as config.json says it.
#ifndef ATTND_CORE_MODEL_ROPE_CONFIG_H_
#define ATTND_CORE_MODEL_ROPE_CONFIG_H_

#include "absl/status/status.h"
#include "core/model/decoder_config.h"
#include "core/model/json_file.h"

namespace attnd {

inline constexpr int kContextMax = 1 << 24;  // tokens, of a decoder and of what its positions were trained for

// Fills config.rope (and config.local_rope); head_dim and max_tokens are set before. Reads both spellings:
// rope_parameters of transformers 5, and rope_theta, rope_scaling and their kin before it. A context that only longer
// frequencies reach (longrope) is cut to what the shorter ones were trained on.
absl::Status ReadRope(const JsonObject& file, DecoderConfig& config);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_ROPE_CONFIG_H_
