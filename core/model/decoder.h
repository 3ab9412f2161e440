// Decoder: a causal transformer (GPT-2, Llama and their kin) as a composition of ops over paged keys and values.
#ifndef ATTND_CORE_MODEL_DECODER_H_
#define ATTND_CORE_MODEL_DECODER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/base/aligned.h"
#include "core/base/work_team.h"
#include "core/model/decoder_batch.h"
#include "core/model/decoder_config.h"
#include "core/model/decoder_weights.h"
#include "core/ops/kv_pages.h"
#include "core/ops/linear.h"
#include "core/ops/paged_attention.h"

namespace attnd {

// Immutable after construction; Forward may run on several threads at once with different workspaces and sequences.
class Decoder {
 public:
  // Scratch of one step, reused between steps; one per worker. Grows to the largest batch seen.
  struct Workspace {
    AlignedBuffer<float> hidden;        // [rows, hidden]
    AlignedBuffer<float> normed;        // [rows, hidden], input of a linear
    AlignedBuffer<float> sum;           // [rows, hidden]
    AlignedBuffer<float> joined;        // [rows, (heads + 2 key_heads) head_dim]
    AlignedBuffer<float> attended;      // [rows, heads head_dim]
    LinearRows gated;                   // [rows, intermediate]
    AlignedBuffer<float> logits;        // [logit rows, vocab]
    std::vector<PagedScratch> scratch;  // [lanes]
  };
  // Pointers into the workspace, valid until the next Forward on it.
  struct Output {
    const float* logits;  // [batch.logit_rows, vocab_size]
    const float* hidden;  // [rows, hidden_size] after the final norm; rows of chunks that asked for it are valid
  };

  static absl::StatusOr<std::unique_ptr<Decoder>> Make(const DecoderConfig& config, const TensorSource& source,
                                                       CheckpointNames names, Precision precision = Precision::kF32);

  const DecoderConfig& config() const { return config_; }
  KvShape kv_shape(KvType type) const { return {config_.layers, config_.key_heads, config_.head_dim, type}; }
  int64_t weight_bytes() const { return weights_.bytes() + rope_.bytes() + local_rope_.bytes(); }

  // Computes the step and stores its keys and values in `pages`. Every position must be below max_tokens. `keep_going`
  // is asked between layers: when it returns false the step ends with kCancelled, and the new rows' keys and values are
  // unspecified.
  absl::StatusOr<Output> Forward(const DecoderBatch& batch, KvPages& pages, WorkTeam::Session& team,
                                 Workspace& workspace, absl::FunctionRef<bool()> keep_going) const;

 private:
  Decoder(const DecoderConfig& config, DecoderWeights weights);

  void Embed(const DecoderBatch& batch, WorkTeam::Session& team, float* hidden) const;
  void Normalize(const DecoderNorm& norm, WorkTeam::Session& team, const float* x, int rows, float* y) const;
  // Norms, turns and stores the heads of `joined`.
  void StoreKeys(int layer, const DecoderBatch& batch, KvPages& pages, WorkTeam::Session& team, float* joined) const;
  void Attend(int layer, const DecoderBatch& batch, const KvPages& pages, WorkTeam::Session& team,
              const std::vector<int>& from, Workspace& w) const;
  void AddNormed(const DecoderNorm& norm, WorkTeam::Session& team, const float* x, int rows, float* y) const;
  Output Outputs(const DecoderBatch& batch, const std::vector<int>& from, int rows, WorkTeam::Session& team,
                 Workspace& w) const;
  void FeedForward(const DecoderLayer& layer, WorkTeam::Session& team, int rows, Workspace& w) const;

  const DecoderConfig config_;
  const DecoderWeights weights_;
  const RopeTable rope_;
  const RopeTable local_rope_;
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_DECODER_H_
