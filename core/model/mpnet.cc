// MPNet: "MPNet: Masked and Permuted Pre-training for Language Understanding", Song et al., 2020. BERT's layers, whose
// scores gain a bias by distance that all layers share; positions begin at 2.
#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/model/architectures.h"

namespace attnd {
namespace {

constexpr int kBuckets = 32;  // half of them for keys behind the query, half for those ahead
constexpr int kMaxDistance = 128;

// The bucket of a key `distance` tokens after the query: one a distance up to 7, then wider and wider. In f32, as the
// reference computes it.
int Bucket(int distance) {
  constexpr int kSide = kBuckets / 2, kExact = kSide / 2;
  const int side = distance > 0 ? kSide : 0;
  const int n = std::abs(distance);
  if (n < kExact) return side + n;
  const float ratio = std::log(static_cast<float>(n) / kExact) /
                      static_cast<float>(std::log(static_cast<double>(kMaxDistance) / kExact));
  return side + std::min(kExact + static_cast<int>(ratio * (kSide - kExact)), kSide - 1);
}

// buckets: [kBuckets, heads].
DistanceBias ExpandBuckets(const std::vector<float>& buckets, int heads, int tokens) {
  DistanceBias bias{.tokens = tokens, .values = {}};
  bias.values.resize(int64_t{heads} * (2 * tokens - 1));
  for (int h = 0; h < heads; ++h) {
    for (int distance = 1 - tokens; distance < tokens; ++distance) {
      bias.values[h * (int64_t{2} * tokens - 1) + tokens - 1 + distance] = buckets[Bucket(distance) * heads + h];
    }
  }
  return bias;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Encoder>> MakeMpnet(const ModelConfig& config, const TensorSource& file) {
  WeightReader reader(file, "mpnet.", "embeddings.word_embeddings.weight");
  PostNormParts parts = {.embedding = ReadTokenEmbedding(reader, config, "")};
  const PostNormNames names = {.query = "attention.attn.q",
                               .key = "attention.attn.k",
                               .value = "attention.attn.v",
                               .attention_output = "attention.attn.o",
                               .attention_norm = "attention.LayerNorm",
                               .intermediate = "intermediate.dense",
                               .output = "output.dense",
                               .output_norm = "output.LayerNorm"};
  const std::vector<float> buckets = reader.Read("encoder.relative_attention_bias.weight", {kBuckets, config.heads});
  if (absl::Status status = ReadPostNormLayers(reader, config, "encoder.layer", names, parts); !status.ok()) {
    return status;
  }
  parts.bias = ExpandBuckets(buckets, config.heads, config.max_positions);
  return MakePostNormEncoder(config, std::move(parts));
}

absl::StatusOr<std::unique_ptr<Head>> MakeMpnetHead(const ModelConfig& config, const TensorSource& file) {
  return ReadRobertaHead(config, file, "mpnet.embeddings.word_embeddings.weight");
}

}  // namespace attnd
