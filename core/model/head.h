// Head: what a task computes of the last hidden states: an optional layer, then a linear.
#ifndef ATTND_CORE_MODEL_HEAD_H_
#define ATTND_CORE_MODEL_HEAD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/aligned.h"
#include "core/base/work_team.h"
#include "core/model/config.h"
#include "core/model/norm.h"
#include "core/model/weight_reader.h"
#include "core/ops/activation.h"
#include "core/ops/linear.h"
#include "core/ops/pooling.h"

namespace attnd {

// One row through the head: [hidden] in, [outputs] out.
struct HeadRow {
  const float* from;
  float* to;
};

// Immutable after construction; Run may be called by several threads with different workspaces.
//   row -> activation(row W + b) -> LayerNorm -> row W_out + b_out
struct Head {
  // One a worker; bounded, whatever the number of rows.
  struct Workspace {
    AlignedBuffer<float> rows;    // [chunk, hidden]
    AlignedBuffer<float> dense;   // [chunk, dense]
    AlignedBuffer<float> logits;  // [chunk, outputs]
  };

  PoolingMode pooling = PoolingMode::kCls;  // kClassify: which row of a sequence it reads, kCls or kMean
  std::optional<Linear> dense;
  Activation activation = Activation::kNone;
  std::optional<Norm> norm;
  Linear output;

  void Run(WorkTeam::Session& team, absl::Span<const HeadRow> rows, Workspace& workspace) const;
  int64_t bytes() const { return output.bytes() + (dense.has_value() ? dense->bytes() : 0); }
};

// Where a head keeps its tensors, by full name; an empty name: the head has no such part.
struct HeadNames {
  std::string dense;        // DENSE.weight, DENSE.bias
  std::string norm;         // NORM.weight, NORM.bias
  std::string output;       // OUTPUT.weight, OUTPUT.bias
  std::string tied_words;   // instead of OUTPUT.weight where the file has none: the embedding table
  std::string output_bias;  // instead of OUTPUT.bias
};

struct HeadShape {
  int hidden = 0;  // of the rows it reads
  int dense = 0;   // numbers of its inner layer
  int outputs = 0;
  Activation activation = Activation::kNone;
  float epsilon = 1e-12f;
  bool dense_bias = true;
  bool norm_bias = true;
  bool output_bias = true;
};

absl::StatusOr<std::unique_ptr<Head>> ReadHead(WeightReader& reader, const HeadNames& names, const HeadShape& shape);

// The heads that BERT's relatives have: token classification is a linear "classifier" for all of them; the others
// differ in names and activations.
struct TaskHeads {
  HeadNames classify;
  Activation classify_activation = Activation::kTanh;
  HeadNames fill_mask;
  Activation fill_mask_activation = Activation::kGelu;
};

// The head of config.task (never kEmbed). The inner layer of fill-mask is config.word_size wide.
absl::StatusOr<std::unique_ptr<Head>> ReadTaskHead(const ModelConfig& config, const TensorSource& file,
                                                   const TaskHeads& heads);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_HEAD_H_
