#include "core/model/dense.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/model/weight_reader.h"

namespace attnd {
namespace {

int64_t Reserved(int count, int columns) { return (int64_t{count} + Linear::kPaddingRows) * columns; }

}  // namespace

absl::StatusOr<DenseModules> DenseModules::Load(const std::string& folder, const EmbeddingConfig& config) {
  DenseModules modules;
  for (const DenseConfig& dense : config.dense) {
    auto file = OpenCheckpoint(absl::StrCat(folder, "/", dense.path));
    if (!file.ok()) return file.status();
    WeightReader reader(**file);
    auto linear = reader.ReadLinear("linear", dense.outputs, dense.inputs, {.bias = dense.bias});
    if (!linear.ok()) return linear.status();
    modules.layers_.push_back({.linear = *std::move(linear), .activation = dense.activation});
  }
  return modules;
}

int64_t DenseModules::bytes() const {
  int64_t bytes = 0;
  for (const Layer& layer : layers_) bytes += layer.linear.bytes();
  return bytes;
}

float* DenseModules::Pooled(int count, Workspace& workspace) const {
  workspace.from.Reserve(Reserved(count, layers_.front().linear.inputs()));
  return workspace.from.data();
}

const float* DenseModules::Run(WorkTeam::Session& team, int count, Workspace& workspace) const {
  for (const Layer& layer : layers_) {
    workspace.to.Reserve(Reserved(count, layer.linear.outputs()));
    layer.linear.Run(team, workspace.from.data(), count, layer.activation, workspace.to.data());
    std::swap(workspace.from, workspace.to);
  }
  return workspace.from.data();
}

}  // namespace attnd
