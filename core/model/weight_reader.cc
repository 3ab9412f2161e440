#include "core/model/weight_reader.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace attnd {

WeightReader::WeightReader(const TensorSource& file, const std::string& prefix, const std::string& probe)
    : file_(file) {
  if (file.Contains(absl::StrCat(prefix, probe))) prefix_ = prefix;
}

std::vector<float> WeightReader::Read(const std::string& name, std::initializer_list<int64_t> shape) {
  if (!status_.ok()) return {};
  std::string full = absl::StrCat(prefix_, name);
  if (!file_.Contains(full) && absl::StrContains(name, "LayerNorm.")) {
    const bool weight = absl::EndsWith(full, ".weight");
    const std::string old = absl::StrCat(full.substr(0, full.rfind('.')), weight ? ".gamma" : ".beta");
    if (file_.Contains(old)) full = old;
  }
  auto tensor = file_.ReadF32(full, shape);
  if (!tensor.ok()) {
    status_ = tensor.status();
    return {};
  }
  return *std::move(tensor);
}

std::vector<float> WeightReader::ReadJoined(std::initializer_list<std::string> names,
                                            std::initializer_list<int64_t> shape) {
  std::vector<float> joined;
  for (const std::string& name : names) {
    const std::vector<float> part = Read(name, shape);
    joined.insert(joined.end(), part.begin(), part.end());
  }
  return joined;
}

}  // namespace attnd
