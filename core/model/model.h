// Model: one loaded Hugging Face folder: configuration, tokenizer, and the encoder over packed weights.
#ifndef ATTND_CORE_MODEL_MODEL_H_
#define ATTND_CORE_MODEL_MODEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/encoder.h"
#include "core/text/tokenizer.h"

namespace attnd {

// Immutable after Load; shared by all workers.
struct Model {
  std::string folder;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Encoder> encoder;
  int64_t weight_bytes = 0;  // bytes of packed weights in memory

  // Loads `folder` (config.json, model.safetensors, tokenizer.json, ...). Errors name the file and the fault.
  static absl::StatusOr<std::unique_ptr<Model>> Load(const std::string& folder);
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_MODEL_H_
