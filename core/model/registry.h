// The registry: which architecture makes the encoder and the head of a model_type.
#ifndef ATTND_CORE_MODEL_REGISTRY_H_
#define ATTND_CORE_MODEL_REGISTRY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/encoder.h"
#include "core/model/head.h"

namespace attnd {

// The encoder of `config.model_type` with the weights of `file`. Unknown types are kUnimplemented, listing what is
// known.
absl::StatusOr<std::unique_ptr<Encoder>> MakeEncoder(const ModelConfig& config, const TensorSource& file);
// The head of `config.task`, null for kEmbed. A head that the file lacks is kInvalidArgument naming the tensor.
absl::StatusOr<std::unique_ptr<Head>> MakeHead(const ModelConfig& config, const TensorSource& file);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_REGISTRY_H_
