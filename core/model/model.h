// Model: one loaded Hugging Face folder: configuration, tokenizer, and the encoder over packed weights.
#ifndef ATTND_CORE_MODEL_MODEL_H_
#define ATTND_CORE_MODEL_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/dense.h"
#include "core/model/encoder.h"
#include "core/model/head.h"
#include "core/text/tokenizer.h"

namespace attnd {

// Immutable after Load; shared by all workers.
struct Model {
  std::string folder;
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Encoder> encoder;
  DenseModules dense;          // what a pooled embedding goes through
  std::unique_ptr<Head> head;  // null for Task::kEmbed
  int32_t mask_token_id = -1;  // kFillMask: the token that stands for a missing word; -1 elsewhere
  int64_t weight_bytes = 0;    // bytes of packed weights in memory

  // Loads `folder` (config.json, model.safetensors, tokenizer.json, ...), the layers' weights packed in `precision`.
  // Errors name the file and the fault; kResourceExhausted: there is not enough memory.
  static absl::StatusOr<std::unique_ptr<Model>> Load(const std::string& folder, Precision precision = Precision::kF32);
};

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_MODEL_H_
