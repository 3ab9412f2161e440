#include "core/model/config.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/model/config_parts.h"

namespace attnd {
namespace {

// The names under which a family of architectures keeps its sizes.
struct FamilyKeys {
  std::string model_type;
  std::string hidden_size;
  std::string layers;
  std::string heads;
  std::string intermediate_size;
};

const FamilyKeys* FindFamily(const std::string& model_type) {
  static const auto* const families = new std::vector<FamilyKeys>{
      {"bert", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"},
  };
  for (const FamilyKeys& family : *families) {
    if (family.model_type == model_type) return &family;
  }
  return nullptr;
}

absl::Status ReadActivation(const JsonObject& file, Activation& to) {
  absl::StatusOr<std::string> name = file.String("hidden_act", "gelu");
  if (!name.ok()) return name.status();
  static constexpr std::pair<const char*, Activation> kKnown[] = {
      {"gelu", Activation::kGelu}, {"gelu_new", Activation::kGeluTanh}, {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"relu", Activation::kRelu}, {"silu", Activation::kSilu},
  };
  for (const auto& [known, activation] : kKnown) {
    if (*name == known) {
      to = activation;
      return absl::OkStatus();
    }
  }
  return file.Fault("hidden_act", absl::StrCat("must be one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, is ",
                                               ShownValue(*name)));
}

// Options of BERT that change its arithmetic and that no encoder here has.
absl::Status RefuseUnsupported(const JsonObject& file) {
  absl::StatusOr<std::string> positions = file.String("position_embedding_type", "absolute");
  if (!positions.ok()) return positions.status();
  if (*positions != "absolute") {
    return file.Fault("position_embedding_type", absl::StrCat("must be absolute, is ", ShownValue(*positions)));
  }
  for (const char* key : {"is_decoder", "add_cross_attention"}) {
    absl::StatusOr<bool> value = file.Bool(key, false);
    if (!value.ok()) return value.status();
    if (*value) return file.Fault(key, "is true, and only encoders are supported");
  }
  return absl::OkStatus();
}

absl::Status ReadSizes(const JsonObject& file, const FamilyKeys& keys, ModelConfig& config) {
  absl::Status status = file.Require(
      {keys.hidden_size, keys.layers, keys.heads, keys.intermediate_size, "vocab_size", "max_position_embeddings"});
  status.Update(Store(file.Int(keys.hidden_size, 1, kHiddenMax, 0), config.hidden_size));
  status.Update(Store(file.Int(keys.layers, 1, kLayersMax, 0), config.layers));
  status.Update(Store(file.Int(keys.heads, 1, kHiddenMax, 0), config.heads));
  status.Update(Store(file.Int(keys.intermediate_size, 1, kIntermediateMax, 0), config.intermediate_size));
  status.Update(Store(file.Int("vocab_size", 1, kVocabularyMax, 0), config.vocab_size));
  status.Update(Store(file.Int("max_position_embeddings", 1, kPositionsMax, 0), config.max_positions));
  status.Update(Store(file.Int("type_vocab_size", 1, kTypesMax, 2), config.type_vocab_size));
  status.Update(Store(file.Number("layer_norm_eps", 1e-20, 1, 1e-12), config.layer_norm_eps));
  if (!status.ok()) return status;
  if (config.hidden_size % config.heads != 0) {
    return file.Fault(keys.heads, absl::StrCat("is ", config.heads, ", which does not divide ", keys.hidden_size, " ",
                                               config.hidden_size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder) {
  absl::StatusOr<JsonObject> file = ReadJsonObject(folder + "/config.json");
  if (!file.ok()) return file.status();
  ModelConfig config;
  absl::Status status = file->Require({"model_type"});
  status.Update(Store(file->String("model_type", ""), config.model_type));
  status.Update(Store(file->Strings("architectures"), config.architectures));
  if (!status.ok()) return status;
  const FamilyKeys* keys = FindFamily(config.model_type);
  if (keys == nullptr) return config;
  status.Update(RefuseUnsupported(*file));
  status.Update(ReadSizes(*file, *keys, config));
  status.Update(ReadActivation(*file, config.activation));
  status.Update(ReadTask(*file, config));
  config.max_tokens = config.max_positions;
  config.embedding_size = config.hidden_size;
  if (status.ok()) status = ReadSentenceFiles(folder, config);
  if (!status.ok()) return status;
  return config;
}

}  // namespace attnd
