// Encoder: a bidirectional transformer as a composition of ops. One implementation per architecture family.
#ifndef ATTND_CORE_MODEL_ENCODER_H_
#define ATTND_CORE_MODEL_ENCODER_H_

#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "core/base/aligned.h"
#include "core/base/work_team.h"
#include "core/model/config.h"
#include "core/model/packed_batch.h"

namespace attnd {

class TensorSource;

// Immutable after construction; Forward may run on several threads at once with different outputs.
class Encoder {
 public:
  // Scratch of one forward pass, reused between passes; one per worker. Grows to the largest batch seen.
  class Workspace {
   public:
    virtual ~Workspace() = default;
  };

  virtual ~Encoder() = default;
  virtual std::unique_ptr<Workspace> NewWorkspace() const = 0;

  // The last hidden states of the rows in batch.outputs: a pointer into `workspace`, [outputs, hidden_size], valid
  // until the next Forward on it. Every id must be inside the vocabulary and every sequence at most max_tokens long
  // (debug-asserted). `keep_going` is asked between layers: when it returns false the pass ends with kCancelled.
  virtual absl::StatusOr<const float*> Forward(const PackedBatch& batch, WorkTeam::Session& team, Workspace& workspace,
                                               absl::FunctionRef<bool()> keep_going) const = 0;

  virtual int64_t weight_bytes() const = 0;  // bytes of packed weights in memory
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_ENCODER_H_
