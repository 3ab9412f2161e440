// WeightReader: tensors of a checkpoint by the names an architecture uses, the first fault kept.
#ifndef ATTND_CORE_MODEL_WEIGHT_READER_H_
#define ATTND_CORE_MODEL_WEIGHT_READER_H_

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/ops/linear.h"
#include "core/ops/precision.h"
#include "core/weights/tensor_source.h"

namespace attnd {

struct LinearOptions {
  bool bias = true;                       // there is a NAME.bias
  Precision precision = Precision::kF32;  // of the packed weights
};

// Reads many tensors and looks at the status once. Checkpoints of a bare model name tensors "x", those of a model with
// a task head "bert.x"; older ones call the parts of a norm gamma and beta. Used by one thread.
class WeightReader {
 public:
  // `prefix` ("bert.") is used where the file has `probe` under it.
  WeightReader(const TensorSource& file, const std::string& prefix, const std::string& probe);
  // Full names.
  explicit WeightReader(const TensorSource& file) : file_(file) {}

  bool Contains(const std::string& name) const { return file_.Contains(prefix_ + name); }
  // The tensor as f32; empty after a fault, which status() then names.
  std::vector<float> Read(const std::string& name, std::initializer_list<int64_t> shape);
  // NAME.weight [outputs, inputs] and NAME.bias [outputs], packed. Fails with status().
  absl::StatusOr<Linear> ReadLinear(const std::string& name, int outputs, int inputs,
                                    const LinearOptions& options = {});
  // The same by the full names of both tensors; an empty `bias`: none.
  absl::StatusOr<Linear> ReadLinearOf(const std::string& weight, const std::string& bias, int outputs, int inputs);
  // Several of one shape, each NAME with `outputs` rows, as one: their outputs side by side.
  absl::StatusOr<Linear> ReadLinears(std::initializer_list<std::string> names, int outputs, int inputs,
                                     const LinearOptions& options);

  const absl::Status& status() const { return status_; }

 private:
  const TensorSource& file_;
  std::string prefix_;
  absl::Status status_;  // the first fault
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_WEIGHT_READER_H_
