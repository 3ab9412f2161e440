// WeightReader: tensors of a checkpoint by the names an architecture uses, the first fault kept.
#ifndef ATTND_CORE_MODEL_WEIGHT_READER_H_
#define ATTND_CORE_MODEL_WEIGHT_READER_H_

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/weights/tensor_source.h"

namespace attnd {

// Reads many tensors and looks at the status once. Checkpoints of a bare model name tensors "x", those of a model with
// a task head "bert.x"; older ones call the parts of a norm gamma and beta. Used by one thread.
class WeightReader {
 public:
  // `prefix` ("bert.") is used where the file has `probe` under it.
  WeightReader(const TensorSource& file, const std::string& prefix, const std::string& probe);

  // The tensor as f32; empty after a fault, which status() then names.
  std::vector<float> Read(const std::string& name, std::initializer_list<int64_t> shape);
  // Several tensors of one shape, end to end: [parts * shape[0], shape[1]...].
  std::vector<float> ReadJoined(std::initializer_list<std::string> names, std::initializer_list<int64_t> shape);

  const absl::Status& status() const { return status_; }

 private:
  const TensorSource& file_;
  std::string prefix_;
  absl::Status status_;  // the first fault
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_WEIGHT_READER_H_
