#include "core/model/norm.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/ops/layer_norm.h"

namespace attnd {
namespace {

// Most rows whose norms the caller does alone: waking the others would cost more.
constexpr int kRowsAlone = 32;
constexpr int kNormRows = 16;

}  // namespace

void Norm::Run(const float* x, int rows, float* y) const {
  LayerNorm(x, weight.data(), bias.data(), epsilon, rows, columns(), y);
}

void Norm::Run(WorkTeam::Session& team, const float* x, int rows, float* y) const {
  const int tile_rows = rows <= kRowsAlone ? rows : kNormRows;
  team.ParallelFor((rows + tile_rows - 1) / tile_rows, [&](int64_t tile, int) {
    const int64_t begin = tile * tile_rows;
    const int count = std::min<int>(tile_rows, rows - static_cast<int>(begin));
    Run(x + begin * columns(), count, y + begin * columns());
  });
}

Norm ReadNorm(WeightReader& reader, const std::string& name, int columns, float epsilon, bool has_bias) {
  return {.weight = reader.Read(absl::StrCat(name, ".weight"), {columns}),
          .bias = has_bias ? reader.Read(absl::StrCat(name, ".bias"), {columns}) : std::vector<float>(columns, 0.0f),
          .epsilon = epsilon};
}

}  // namespace attnd
