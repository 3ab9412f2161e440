// DenseLayer: a Dense module of sentence-transformers, which turns an embedding into another.
#ifndef ATTND_CORE_MODEL_DENSE_H_
#define ATTND_CORE_MODEL_DENSE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/ops/linear.h"

namespace attnd {

struct DenseLayer {
  Linear linear;
  Activation activation;
};

// The modules of config.dense, each from the model.safetensors of its own folder inside `folder`.
absl::StatusOr<std::vector<DenseLayer>> ReadDenseLayers(const std::string& folder, const EmbeddingConfig& config);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_DENSE_H_
