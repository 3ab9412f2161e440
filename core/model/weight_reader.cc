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

absl::StatusOr<Linear> WeightReader::ReadLinear(const std::string& name, int outputs, int inputs,
                                                const LinearOptions& options) {
  return ReadLinears({name}, outputs, inputs, options);
}

absl::StatusOr<Linear> WeightReader::ReadLinearOf(const std::string& weight, const std::string& bias, int outputs,
                                                  int inputs) {
  const std::vector<float> weights = Read(weight, {outputs, inputs});
  const std::vector<float> biases = bias.empty() ? std::vector<float>() : Read(bias, {outputs});
  if (!status_.ok()) return status_;
  return Linear(weights, biases, outputs, inputs);
}

absl::StatusOr<Linear> WeightReader::ReadLinears(std::initializer_list<std::string> names, int outputs, int inputs,
                                                 const LinearOptions& options) {
  std::vector<float> weights, biases;
  for (const std::string& name : names) {
    std::vector<float> part = Read(absl::StrCat(name, ".weight"), {outputs, inputs});
    if (names.size() == 1) {
      weights = std::move(part);
    } else {
      weights.insert(weights.end(), part.begin(), part.end());
    }
    if (!options.bias) continue;
    part = Read(absl::StrCat(name, ".bias"), {outputs});
    biases.insert(biases.end(), part.begin(), part.end());
  }
  if (!status_.ok()) return status_;
  return Linear(weights, biases, static_cast<int>(names.size()) * outputs, inputs, options.precision);
}

}  // namespace attnd
