// DenseModules: the Dense modules of sentence-transformers, which turn a pooled embedding into another.
#ifndef ATTND_CORE_MODEL_DENSE_H_
#define ATTND_CORE_MODEL_DENSE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/aligned.h"
#include "core/base/work_team.h"
#include "core/model/config.h"
#include "core/ops/linear.h"

namespace attnd {

// Immutable after Load; Run may be called by several threads with different workspaces.
class DenseModules {
 public:
  // One a thread; grows to the most embeddings seen.
  struct Workspace {
    AlignedBuffer<float> from, to;  // [embeddings, columns], before and after a module
  };

  // The modules of config.dense, each from the model.safetensors of its own folder inside `folder`.
  static absl::StatusOr<DenseModules> Load(const std::string& folder, const EmbeddingConfig& config);

  bool empty() const { return layers_.empty(); }
  int64_t bytes() const;  // of packed weights in memory

  // Where not empty:
  int outputs() const { return layers_.back().linear.outputs(); }
  // The place for `count` pooled embeddings, [count, inputs of the first module] ...
  float* Pooled(int count, Workspace& workspace) const;
  // ... and what becomes of them: [count, outputs], valid until the next Pooled on `workspace`.
  const float* Run(WorkTeam::Session& team, int count, Workspace& workspace) const;

 private:
  struct Layer {
    Linear linear;
    Activation activation;
  };
  std::vector<Layer> layers_;  // in their order
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_DENSE_H_
