#include "core/model/dense.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/model/weight_reader.h"

namespace attnd {

absl::StatusOr<std::vector<DenseLayer>> ReadDenseLayers(const std::string& folder, const EmbeddingConfig& config) {
  std::vector<DenseLayer> layers;
  for (const DenseConfig& dense : config.dense) {
    auto file = OpenCheckpoint(absl::StrCat(folder, "/", dense.path));
    if (!file.ok()) return file.status();
    WeightReader reader(**file);
    auto linear = reader.ReadLinear("linear", dense.outputs, dense.inputs, {.bias = dense.bias});
    if (!linear.ok()) return linear.status();
    layers.push_back({.linear = *std::move(linear), .activation = dense.activation});
  }
  return layers;
}

}  // namespace attnd
