// ShardedSafetensors: a checkpoint in several .safetensors files, as model.safetensors.index.json lists them.
#ifndef ATTND_CORE_WEIGHTS_SHARDED_H_
#define ATTND_CORE_WEIGHTS_SHARDED_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/weights/safetensors.h"
#include "core/weights/tensor_source.h"

namespace attnd {

class ShardedSafetensors final : public TensorSource {
 public:
  // Opens every part that `index_path` names, all in its own folder. kInvalidArgument names the file and the fault: a
  // part outside the folder, a part that is missing, a tensor that is not in the part the index says.
  static absl::StatusOr<std::unique_ptr<ShardedSafetensors>> Open(const std::string& index_path);

  const std::string& name() const override { return name_; }
  bool Contains(std::string_view tensor) const override { return Find(tensor) != nullptr; }
  absl::StatusOr<std::vector<float>> ReadF32(std::string_view tensor, absl::Span<const int64_t> shape) const override;

 private:
  const SafetensorsFile* Find(std::string_view tensor) const;

  std::string name_;
  std::vector<std::unique_ptr<SafetensorsFile>> parts_;
  absl::flat_hash_map<std::string, const SafetensorsFile*> part_of_;  // by tensor
};

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_SHARDED_H_
