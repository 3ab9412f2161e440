#include "core/model/decoder_config.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/model/config_parts.h"
#include "core/model/json_file.h"
#include "core/model/rope_config.h"

namespace attnd {
namespace {

// Where decoders go beyond the bounds of encoders. Products of two of these, times 8 bytes, fit into 63 bits.
constexpr int kDecoderHiddenMax = 1 << 16;
constexpr int kDecoderIntermediateMax = 1 << 20;
// Cosines and sines of a table of RoPE: 512 MiB, a million positions of heads of 128. No tensor confirms the positions.
constexpr int64_t kRopeTableMax = int64_t{1} << 27;

struct Family {
  const char* model_type;
  void (*preset)(DecoderConfig&);
};

constexpr Family kFamilies[] = {
    {"gpt2",
     [](DecoderConfig& c) {
       c.rms_norm = c.gated = false;
       c.learned_positions = c.transposed = c.tied = true;
       c.activation = Activation::kGeluTanh;
     }},
    {"llama", [](DecoderConfig&) {}},
    {"mistral", [](DecoderConfig&) {}},
    {"qwen2", [](DecoderConfig&) {}},
    {"qwen3", [](DecoderConfig& c) { c.query_key_norm = true; }},
    {"phi3", [](DecoderConfig&) {}},
    {"gemma3_text",
     [](DecoderConfig& c) {
       c.norm_plus_one = c.query_key_norm = c.post_norms = c.has_local_rope = c.tied = true;
       c.activation = Activation::kGeluTanh;
     }},
    {"gpt_neox",
     [](DecoderConfig& c) {
       c.rms_norm = c.gated = false;
       c.parallel_residual = c.qkv_interleaved = true;
       c.activation = Activation::kGelu;
     }},
};

const Family* FindFamily(const std::string& model_type) {
  for (const Family& family : kFamilies) {
    if (model_type == family.model_type) return &family;
  }
  return nullptr;
}

absl::Status ReadActivation(const JsonObject& file, const std::string& key, Activation& to) {
  absl::StatusOr<std::string> name = file.String(key, "");
  if (!name.ok()) return name.status();
  static constexpr std::pair<const char*, Activation> kKnown[] = {
      {"gelu", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"gelu_fast", Activation::kGeluTanh},
      {"relu", Activation::kRelu},
      {"silu", Activation::kSilu},
  };
  if (name->empty()) return absl::OkStatus();
  for (const auto& [known, activation] : kKnown) {
    if (*name == known) {
      to = activation;
      return absl::OkStatus();
    }
  }
  return file.Fault(key, absl::StrCat("is ", ShownValue(*name), ", which is not supported"));
}

// Options that would change the arithmetic and that are not implemented must be off.
absl::Status RefuseUnsupported(const JsonObject& file) {
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "add_cross_attention", "use_bidirectional_attention"}) {
    absl::StatusOr<bool> value = file.Bool(key, false);
    if (!value.ok()) return value.status();
    if (*value) return absl::UnimplementedError(absl::StrCat(file.name(), ": ", key, " is not supported"));
  }
  for (const char* key : {"is_causal", "scale_attn_weights"}) {
    absl::StatusOr<bool> value = file.Bool(key, true);
    if (!value.ok()) return value.status();
    if (!*value) return absl::UnimplementedError(absl::StrCat(file.name(), ": ", key, " false is not supported"));
  }
  for (const char* key :
       {"attn_logit_softcapping", "final_logit_softcapping", "num_local_experts", "quantization_config"}) {
    if (file.Has(key)) return absl::UnimplementedError(absl::StrCat(file.name(), ": ", key, " is not supported"));
  }
  return absl::OkStatus();
}

// A number or a list of numbers.
absl::Status ReadIds(const JsonObject& file, const std::string& key, std::vector<int32_t>& ids) {
  if (!file.Has(key)) return absl::OkStatus();
  const nlohmann::json& value = file.json().at(key);
  std::vector<int32_t> read;
  const auto add = [&](const nlohmann::json& id) {
    if (!id.is_number_integer() || id < 0 || id >= kVocabularyMax) return false;
    read.push_back(id.get<int32_t>());
    return true;
  };
  const bool good = value.is_array() ? std::all_of(value.begin(), value.end(), add) : add(value);
  if (!good || read.size() > 64) return file.Fault(key, "must be a token id or a short list of them");
  ids = std::move(read);
  return absl::OkStatus();
}

absl::Status ReadSizes(const JsonObject& file, DecoderConfig& c) {
  const bool gpt2 = c.model_type == "gpt2";
  const char* hidden = gpt2 ? "n_embd" : "hidden_size";
  const char* layers = gpt2 ? "n_layer" : "num_hidden_layers";
  const char* heads = gpt2 ? "n_head" : "num_attention_heads";
  const char* intermediate = gpt2 ? "n_inner" : "intermediate_size";
  const char* positions = gpt2 ? "n_positions" : "max_position_embeddings";
  absl::Status status = file.Require({hidden, layers, heads, "vocab_size", positions});
  if (!gpt2) status.Update(file.Require({intermediate}));
  status.Update(Store(file.Int(hidden, 1, kDecoderHiddenMax, 0), c.hidden_size));
  status.Update(Store(file.Int(layers, 1, kLayersMax, 0), c.layers));
  status.Update(Store(file.Int(heads, 1, kDecoderHiddenMax, 0), c.heads));
  status.Update(Store(file.Int("num_key_value_heads", 1, kDecoderHiddenMax, c.heads), c.key_heads));
  status.Update(Store(file.Int("head_dim", 1, kDecoderHiddenMax, 0), c.head_dim));
  status.Update(Store(file.Int(intermediate, 1, kDecoderIntermediateMax, 4 * c.hidden_size), c.intermediate_size));
  status.Update(Store(file.Int("vocab_size", 1, kVocabularyMax, 0), c.vocab_size));
  status.Update(Store(file.Int(positions, 1, kContextMax, 0), c.max_tokens));
  const char* epsilon = gpt2 ? "layer_norm_epsilon" : c.model_type == "gpt_neox" ? "layer_norm_eps" : "rms_norm_eps";
  status.Update(Store(file.Number(epsilon, 1e-20, 1, c.rms_norm ? 1e-6 : 1e-5), c.norm_epsilon));
  return status;
}

// Which layers see only a window.
absl::Status ReadWindows(const JsonObject& file, DecoderConfig& c) {
  c.windows.assign(c.layers, 0);
  int window = 0, pattern = 0, first = 0;
  bool used = true;
  const bool qwen = c.model_type == "qwen2" || c.model_type == "qwen3";
  absl::Status status = Store(file.Int("sliding_window", 1, kContextMax, 0), window);
  status.Update(Store(file.Bool("use_sliding_window", !qwen), used));
  status.Update(Store(file.Int("max_window_layers", 0, kLayersMax, qwen ? 28 : 0), first));
  status.Update(
      Store(file.Int("sliding_window_pattern", 1, kLayersMax, c.model_type == "gemma3_text" ? 6 : 0), pattern));
  if (!status.ok() || window == 0 || !used) return status;
  absl::StatusOr<std::vector<std::string>> types = file.Strings("layer_types");
  if (!types.ok()) return types.status();
  if (!types->empty() && types->size() != static_cast<size_t>(c.layers)) {
    return file.Fault("layer_types", absl::StrCat("has ", types->size(), " entries for ", c.layers, " layers"));
  }
  for (int l = 0; l < c.layers; ++l) {
    const bool local = !types->empty() ? (*types)[l] == "sliding_attention"
                       : pattern > 0   ? (l + 1) % pattern != 0
                                       : l >= first;
    if (local) c.windows[l] = window;
  }
  return absl::OkStatus();
}

}  // namespace

std::string DecoderTypes() {
  std::string types;
  for (const Family& family : kFamilies) absl::StrAppend(&types, types.empty() ? "" : ", ", family.model_type);
  return types;
}

bool IsDecoderType(const std::string& model_type) { return FindFamily(model_type) != nullptr; }

absl::Status PresetDecoderFamily(const std::string& model_type, DecoderConfig& config) {
  const Family* family = FindFamily(model_type);
  if (family == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("model_type ", ShownValue(model_type), " is no decoder; known are: ", DecoderTypes()));
  }
  config.model_type = model_type;
  family->preset(config);
  return absl::OkStatus();
}

absl::StatusOr<DecoderConfig> LoadDecoderConfig(const std::string& folder) {
  absl::StatusOr<JsonObject> file = ReadJsonObject(folder + "/config.json");
  if (!file.ok()) return file.status();
  DecoderConfig c;
  absl::Status status = file->Require({"model_type"});
  status.Update(Store(file->String("model_type", ""), c.model_type));
  if (!status.ok()) return status;
  status = PresetDecoderFamily(c.model_type, c);
  if (!status.ok()) return absl::Status(status.code(), absl::StrCat(file->name(), ": ", status.message()));
  status.Update(RefuseUnsupported(*file));
  status.Update(ReadSizes(*file, c));
  status.Update(ReadActivation(*file,
                               c.model_type == "gpt2"          ? "activation_function"
                               : c.model_type == "gemma3_text" ? "hidden_activation"
                                                               : "hidden_act",
                               c.activation));
  status.Update(Store(file->Bool("tie_word_embeddings", c.tied), c.tied));
  status.Update(Store(file->Bool("use_parallel_residual", c.parallel_residual), c.parallel_residual));
  status.Update(ReadIds(*file, "eos_token_id", c.eos_ids));
  if (status.ok()) status = ReadWindows(*file, c);
  if (!status.ok()) return status;
  if (c.head_dim == 0 && c.heads > 0) c.head_dim = c.hidden_size / c.heads;
  if (c.model_type == "gemma3_text") {
    double scalar = 0;
    status.Update(Store(file->Number("query_pre_attn_scalar", 1e-6, 1e9, c.head_dim), scalar));
    c.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
    c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
  }
  if (!c.learned_positions) status.Update(ReadRope(*file, c));
  // generation_config.json has the last word on what ends an answer.
  absl::StatusOr<JsonObject> generation = ReadJsonObject(folder + "/generation_config.json");
  if (generation.ok()) {
    status.Update(ReadIds(*generation, "eos_token_id", c.eos_ids));
  } else if (!absl::IsNotFound(generation.status())) {
    return generation.status();
  }
  status.Update(FinishDecoderConfig(file->name(), c));
  if (!status.ok()) return status;
  return c;
}

absl::Status FinishDecoderConfig(const std::string& source, DecoderConfig& c) {
  const auto fault = [&](const std::string& text) {
    return absl::InvalidArgumentError(absl::StrCat(source, ": ", text));
  };
  if (c.heads % c.key_heads != 0) {
    return fault(absl::StrCat(c.key_heads, " key heads do not divide ", c.heads, " heads"));
  }
  if (c.qkv_interleaved && c.key_heads != c.heads) {  // the joined tensor is parted by heads
    return fault(absl::StrCat("num_key_value_heads is ", c.key_heads, ", ", c.model_type,
                              " has one for each of num_attention_heads ", c.heads));
  }
  if (c.head_dim < 1 || int64_t{c.head_dim} * c.heads > kDecoderHiddenMax) {
    return fault(absl::StrCat(c.heads, " heads of ", c.head_dim, " are not possible"));
  }
  if (c.windows.empty()) c.windows.assign(c.layers, 0);
  if (c.attention_scale <= 0) c.attention_scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  if (!c.learned_positions && (c.rope.rotary_dim < 2 || c.rope.rotary_dim % 2 != 0 || c.rope.rotary_dim > c.head_dim)) {
    return fault(absl::StrCat("RoPE over ", c.rope.rotary_dim, " of ", c.head_dim, " elements is not possible"));
  }
  const int rotary = std::max(c.rope.rotary_dim, c.has_local_rope ? c.local_rope.rotary_dim : 0);
  if (!c.learned_positions && int64_t{c.max_tokens} * rotary > kRopeTableMax) {
    return fault(absl::StrCat("max_position_embeddings (GGUF: context_length) is ", c.max_tokens, ", times RoPE over ",
                              rotary, " above ", kRopeTableMax));
  }
  for (const int32_t id : c.eos_ids) {
    if (id >= c.vocab_size)
      return fault(absl::StrCat("end token ", id, " is outside the vocabulary of ", c.vocab_size));
  }
  return absl::OkStatus();
}

}  // namespace attnd
