// DecoderModel: one loaded generating model: configuration, tokenizer, chat template and the decoder over packed
// weights.
#ifndef ATTND_CORE_MODEL_DECODER_MODEL_H_
#define ATTND_CORE_MODEL_DECODER_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/model/config.h"
#include "core/model/decoder.h"
#include "core/model/dense.h"
#include "core/ops/precision.h"
#include "core/text/chat_template.h"
#include "core/text/tokenizer.h"

namespace attnd {

// Immutable after Load; shared by all.
struct DecoderModel {
  std::string path;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat_template;  // null where the model has none
  std::unique_ptr<Decoder> decoder;
  EmbeddingConfig embedding;
  DenseModules dense;  // what a pooled embedding goes through

  const DecoderConfig& config() const { return decoder->config(); }
  int64_t weight_bytes() const { return decoder->weight_bytes() + dense.bytes(); }

  // Loads a .gguf file, or a Hugging Face folder (config.json, model.safetensors or its parts, tokenizer.json, ...),
  // the linear layers packed in `precision`. modules.json and its kin say how the folder embeds. The tokenizer may have
  // ids that the weights have no row for, as Gemma 3's has: CheckGeneration refuses the prompts that hold one. Errors
  // name the file and the fault; kResourceExhausted: there is not enough memory.
  static absl::StatusOr<std::unique_ptr<DecoderModel>> Load(const std::string& path,
                                                            Precision precision = Precision::kF32);
};

// Whether `path` is for DecoderModel::Load rather than Model::Load: a .gguf file, or a folder whose config.json has the
// type of a decoder. Other faults of the folder are left for Load to tell.
bool IsDecoderPath(const std::string& path);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_DECODER_MODEL_H_
