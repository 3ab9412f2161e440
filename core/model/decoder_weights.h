// DecoderWeights: the packed weights of a decoder, read from a checkpoint under the names its format uses.
#ifndef ATTND_CORE_MODEL_DECODER_WEIGHTS_H_
#define ATTND_CORE_MODEL_DECODER_WEIGHTS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/decoder_config.h"
#include "core/model/decoder_names.h"
#include "core/ops/linear.h"
#include "core/ops/precision.h"
#include "core/weights/tensor_source.h"

namespace attnd {

// LayerNorm where there is a bias, else RMSNorm. Empty: no norm.
struct DecoderNorm {
  std::vector<float> weight;  // [columns]
  std::vector<float> bias;    // [columns] or empty
  bool empty() const { return weight.empty(); }
};

struct DecoderLayer {
  DecoderNorm attention_norm;       // before attention
  Linear query_key_value;           // hidden -> (heads + 2 key_heads) head_dim
  DecoderNorm query_norm;           // [head_dim], where query_key_norm
  DecoderNorm key_norm;             // [head_dim]
  Linear attention_output;          // heads head_dim -> hidden
  DecoderNorm post_attention_norm;  // where post_norms
  DecoderNorm feed_forward_norm;    // before the feed-forward part
  Linear up;                        // hidden -> 2 intermediate (gate, up) or intermediate
  Linear down;                      // intermediate -> hidden
  DecoderNorm post_feed_forward_norm;
};

struct DecoderWeights {
  std::vector<float> embedding;            // [vocab, hidden], in f32
  std::vector<uint16_t> narrow_embedding;  // [vocab, hidden], bf16, instead, where the layers are narrower
  std::vector<float> positions;            // [max_tokens, hidden], where learned
  std::vector<DecoderLayer> layers;
  DecoderNorm final_norm;
  std::optional<Linear> head;  // hidden -> vocab

  int64_t bytes() const;
  // Row `token` of the table.
  void Embed(int32_t token, int hidden, float* to /* [hidden] */) const;
};

// Reads and packs every weight, the linear layers and the head in `precision`. Errors name the tensor.
absl::StatusOr<DecoderWeights> ReadDecoderWeights(const DecoderConfig& config, const TensorSource& source,
                                                  CheckpointNames names, Precision precision);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_DECODER_WEIGHTS_H_
