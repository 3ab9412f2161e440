// DecoderConfig: what a generating model is made of, from config.json of a Hugging Face folder or a GGUF file's
// metadata.
#ifndef ATTND_CORE_MODEL_DECODER_CONFIG_H_
#define ATTND_CORE_MODEL_DECODER_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/ops/activation.h"
#include "core/ops/rope.h"
#include "core/weights/gguf_metadata.h"

namespace attnd {

// Every decoder here is pre-norm attention, then pre-norm feed-forward; families differ in the options below.
struct DecoderConfig {
  std::string model_type;  // "llama"
  int hidden_size = 0;
  int layers = 0;
  int heads = 0;
  int key_heads = 0;  // divides heads
  int head_dim = 0;
  int intermediate_size = 0;
  int vocab_size = 0;
  int max_tokens = 0;  // the context: prompt and answer together

  bool rms_norm = true;  // else LayerNorm with bias
  float norm_epsilon = 1e-6f;
  bool norm_plus_one = false;      // norms multiply by 1 + weight as stored
  bool query_key_norm = false;     // RMSNorm of each query and key head
  bool post_norms = false;         // norms after attention and feed-forward, before their residual sum
  bool parallel_residual = false;  // feed-forward reads the layer's input, not the attention's sum

  Activation activation = Activation::kSilu;
  bool gated = true;               // activation(gate) * up, else activation(up)
  bool learned_positions = false;  // a table [max_tokens, hidden_size], no RoPE
  float embedding_scale = 1.0f;
  float attention_scale = 0;  // of the scores

  RopeLayout rope_layout = RopeLayout::kHalves;
  RopeOptions rope;
  RopeOptions local_rope;  // of layers with a window, where has_local_rope
  bool has_local_rope = false;
  std::vector<int> windows;  // [layers], keys that a token sees, itself included; 0: all

  bool qkv_interleaved = false;  // a joined tensor holds query, key, value of each head in turn (GPT-NeoX)
  bool transposed = false;       // linear weights are stored [inputs, outputs] (GPT-2)
  bool tied = false;             // the output layer is the embedding table

  std::vector<int32_t> eos_ids;  // any of them ends an answer
};

// The model_types that are decoders: "gpt2, llama, ...".
std::string DecoderTypes();
bool IsDecoderType(const std::string& model_type);

// Reads config.json and generation_config.json. kNotFound / kInvalidArgument name the file, the key and the fault;
// kUnimplemented: the type or one of its options is none that is known.
absl::StatusOr<DecoderConfig> LoadDecoderConfig(const std::string& folder);

// From GGUF metadata. Frequency factors of RoPE are a tensor: gguf_model.h adds them.
absl::StatusOr<DecoderConfig> GgufDecoderConfig(const GgufMetadata& metadata);

// Sets model_type and the options of a family; kUnimplemented for a type that is none.
absl::Status PresetDecoderFamily(const std::string& model_type, DecoderConfig& config);

// Sizes in range, divisors whole, and what depends on others filled in. For the loaders above.
absl::Status FinishDecoderConfig(const std::string& source, DecoderConfig& config);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_DECODER_CONFIG_H_
