// Norm: the parameters of a LayerNorm, and the op over many rows.
#ifndef ATTND_CORE_MODEL_NORM_H_
#define ATTND_CORE_MODEL_NORM_H_

#include <string>
#include <vector>

#include "core/base/work_team.h"
#include "core/model/weight_reader.h"

namespace attnd {

struct Norm {
  std::vector<float> weight;  // [columns]
  std::vector<float> bias;    // [columns], zeros where the checkpoint has none
  float epsilon = 1e-12f;

  int columns() const { return static_cast<int>(weight.size()); }
  // y = LayerNorm(x) for each row, by caller alone; y may be x.
  void Run(const float* x /* [rows, columns] */, int rows, float* y /* [rows, columns] */) const;
  // The same over the team.
  void Run(WorkTeam::Session& team, const float* x /* [rows, columns] */, int rows,
           float* y /* [rows, columns] */) const;
};

// Reads NAME.weight and, where `has_bias`, NAME.bias.
Norm ReadNorm(WeightReader& reader, const std::string& name, int columns, float epsilon, bool has_bias = true);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_NORM_H_
