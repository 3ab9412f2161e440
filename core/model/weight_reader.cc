#include "core/model/weight_reader.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace attnd {

WeightReader::WeightReader(const TensorSource& file, const std::string& prefix, const std::string& probe,
                           Precision precision)
    : file_(file), precision_(precision) {
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

absl::StatusOr<Linear> WeightReader::ReadLinear(const std::string& name, int outputs, int inputs, bool has_bias) {
  return ReadLinearOf(absl::StrCat(name, ".weight"), has_bias ? absl::StrCat(name, ".bias") : "", outputs, inputs);
}

absl::StatusOr<Linear> WeightReader::ReadLinearOf(const std::string& weight, const std::string& bias, int outputs,
                                                  int inputs) {
  const std::vector<float> weights = Read(weight, {outputs, inputs});
  const std::vector<float> biases = bias.empty() ? std::vector<float>() : Read(bias, {outputs});
  if (!status_.ok()) return status_;
  return Linear(weights, biases, outputs, inputs, precision_);
}

absl::StatusOr<Linear> WeightReader::ReadLinears(std::initializer_list<std::string> names, int outputs, int inputs,
                                                 bool has_bias) {
  std::vector<float> weight, bias;
  for (const std::string& name : names) {
    const std::vector<float> weights = Read(absl::StrCat(name, ".weight"), {outputs, inputs});
    weight.insert(weight.end(), weights.begin(), weights.end());
    if (!has_bias) continue;
    const std::vector<float> biases = Read(absl::StrCat(name, ".bias"), {outputs});
    bias.insert(bias.end(), biases.begin(), biases.end());
  }
  if (!status_.ok()) return status_;
  return Linear(weight, bias, static_cast<int>(names.size()) * outputs, inputs, precision_);
}

}  // namespace attnd
