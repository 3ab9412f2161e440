// PostNormEncoder: the layers that BERT and its relatives share, "BERT: Pre-training of Deep Bidirectional
// Transformers", Devlin et al., 2018:
//   a = LayerNorm(x + Attention(x W_q, x W_k, x W_v) W_o)
//   x = LayerNorm(a + Activation(a W_1) W_2)
#ifndef ATTND_CORE_MODEL_POST_NORM_ENCODER_H_
#define ATTND_CORE_MODEL_POST_NORM_ENCODER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/encoder.h"
#include "core/model/norm.h"
#include "core/model/self_attention.h"
#include "core/model/token_embedding.h"
#include "core/model/weight_reader.h"
#include "core/ops/linear.h"

namespace attnd {

struct PostNormLayer {
  Linear query_key_value;   // hidden -> 3 hidden
  Linear attention_output;  // hidden -> hidden
  Norm attention_norm;
  Linear intermediate;  // hidden -> intermediate
  Linear output;        // intermediate -> hidden
  Norm output_norm;
};

// What an architecture calls the parts of a layer, below the layer's own name.
struct PostNormNames {
  std::string query, key, value, attention_output, attention_norm, intermediate, output, output_norm;
};

struct PostNormParts {
  TokenEmbedding embedding;
  std::vector<PostNormLayer> layers;
  std::vector<int> order;            // the layers as they run, by index: those of ALBERT run several times
  std::optional<DistanceBias> bias;  // of all layers
};

// The layer whose tensors are named LAYER + "." + a name.
absl::StatusOr<PostNormLayer> ReadPostNormLayer(WeightReader& reader, const ModelConfig& config,
                                                const std::string& layer, const PostNormNames& names);
// config.layers layers STEM.0, STEM.1, ..., each run once.
absl::Status ReadPostNormLayers(WeightReader& reader, const ModelConfig& config, const std::string& stem,
                                const PostNormNames& names, PostNormParts& parts);

std::unique_ptr<Encoder> MakePostNormEncoder(const ModelConfig& config, PostNormParts parts);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_POST_NORM_ENCODER_H_
