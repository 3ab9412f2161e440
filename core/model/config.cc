#include "core/model/config.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/model/json_file.h"

namespace attnd {
namespace {

// Products of two of these, times 8 bytes, fit into 63 bits.
constexpr int kHiddenMax = 16384;
constexpr int kLayersMax = 1024;
constexpr int kIntermediateMax = 1 << 18;
constexpr int kVocabularyMax = 1 << 22;
constexpr int kPositionsMax = 1 << 20;
constexpr int kTypesMax = 1024;
constexpr size_t kModulesMax = 16;

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

// Moves the value of a StatusOr into `to`; for chains of checks.
template <typename T, typename U>
absl::Status Store(absl::StatusOr<T> value, U& to) {
  if (!value.ok()) return value.status();
  to = static_cast<U>(*std::move(value));
  return absl::OkStatus();
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

// What modules.json says; where there is none, the default.
struct Modules {
  std::string pooling_path = "1_Pooling";
  bool pooling_required = false;
  bool normalize = false;
};

// A path inside the folder.
bool IsInside(const std::string& path) {
  if (path.empty() || path.front() == '/') return false;
  const std::vector<std::string> parts = absl::StrSplit(path, '/');
  return std::find(parts.begin(), parts.end(), "..") == parts.end();
}

absl::Status ReadModule(const JsonObject& module, Modules& modules) {
  absl::StatusOr<std::string> type = module.String("type", "");
  if (!type.ok()) return type.status();
  absl::StatusOr<std::string> path = module.String("path", "");
  if (!path.ok()) return path.status();
  if (absl::EndsWith(*type, ".Transformer")) {
    if (!path->empty())
      return module.Fault("path", "of the Transformer must be empty: its files are in the folder itself");
  } else if (absl::EndsWith(*type, ".Pooling")) {
    if (!IsInside(*path)) return module.Fault("path", "of the Pooling must name a folder inside the model's");
    modules.pooling_path = *path;
    modules.pooling_required = true;
  } else if (absl::EndsWith(*type, ".Normalize")) {
    modules.normalize = true;
  } else {
    return module.Fault(
        "type",
        absl::StrCat("must be a Transformer, Pooling or Normalize of sentence_transformers, is ", ShownValue(*type)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Modules> ReadModules(const std::string& path) {
  Modules modules;
  absl::StatusOr<nlohmann::json> json = ReadJson(path);
  if (absl::IsNotFound(json.status())) return modules;
  if (!json.ok()) return json.status();
  if (!json->is_array() || json->size() > kModulesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a list of at most ", kModulesMax, " modules"));
  }
  for (size_t i = 0; i < json->size(); ++i) {
    const std::string name = absl::StrCat(path, ": module ", i);
    if (!(*json)[i].is_object()) return absl::InvalidArgumentError(absl::StrCat(name, " is not an object"));
    if (absl::Status status = ReadModule(JsonObject((*json)[i], name), modules); !status.ok()) return status;
  }
  return modules;
}

absl::StatusOr<PoolingMode> PoolingModeOf(const JsonObject& file, const std::string& key, const std::string& mode) {
  if (mode == "mean" || mode == "mean_tokens") return PoolingMode::kMean;
  if (mode == "cls" || mode == "cls_token") return PoolingMode::kCls;
  if (mode == "max" || mode == "max_tokens") return PoolingMode::kMax;
  return file.Fault(key, absl::StrCat("asks for the pooling ", ShownValue(mode), "; mean, cls and max are supported"));
}

// Either flags pooling_mode_*, of which exactly one may be true, or "pooling_mode": "mean".
absl::StatusOr<PoolingMode> ReadPooling(const JsonObject& file, int hidden_size) {
  absl::StatusOr<int> width = file.Int("word_embedding_dimension", 1, kHiddenMax, hidden_size);
  if (!width.ok()) return width.status();
  if (*width != hidden_size) {
    return file.Fault("word_embedding_dimension", absl::StrCat("is ", *width, ", the model's is ", hidden_size));
  }
  if (file.Has("pooling_mode")) {
    absl::StatusOr<std::string> mode = file.String("pooling_mode", "");
    if (!mode.ok()) return mode.status();
    return PoolingModeOf(file, "pooling_mode", *mode);
  }
  constexpr absl::string_view kPrefix = "pooling_mode_";
  std::vector<std::string> set;
  for (const auto& entry : file.json().items()) {
    if (!absl::StartsWith(entry.key(), kPrefix)) continue;
    absl::StatusOr<bool> value = file.Bool(entry.key(), false);
    if (!value.ok()) return value.status();
    if (*value) set.push_back(entry.key());
  }
  if (set.empty()) return file.Fault("pooling_mode_*", "are all false or absent; one must be true");
  if (set.size() > 1) {
    set.resize(std::min<size_t>(set.size(), 8));
    return file.Fault(absl::StrJoin(set, " and "), "are true, and joined poolings are not supported");
  }
  return PoolingModeOf(file, set.front(), set.front().substr(kPrefix.size()));
}

absl::Status ReadSentenceFiles(const std::string& folder, ModelConfig& config) {
  absl::StatusOr<Modules> modules = ReadModules(folder + "/modules.json");
  if (!modules.ok()) return modules.status();
  config.pooling.normalize = modules->normalize;
  absl::StatusOr<JsonObject> pooling = ReadJsonObject(absl::StrCat(folder, "/", modules->pooling_path, "/config.json"));
  if (pooling.ok()) {
    if (absl::Status status = Store(ReadPooling(*pooling, config.hidden_size), config.pooling.mode); !status.ok()) {
      return status;
    }
  } else if (modules->pooling_required || !absl::IsNotFound(pooling.status())) {
    return pooling.status();
  }
  config.max_tokens = config.max_positions;
  absl::StatusOr<JsonObject> sentence = ReadJsonObject(folder + "/sentence_bert_config.json");
  if (absl::IsNotFound(sentence.status())) return absl::OkStatus();
  if (!sentence.ok()) return sentence.status();
  // It may promise more than the position table has.
  absl::StatusOr<int> length = sentence->Int("max_seq_length", 1, kPositionsMax, config.max_positions);
  if (!length.ok()) return length.status();
  config.max_tokens = std::min(*length, config.max_positions);
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
  if (status.ok()) status = ReadSentenceFiles(folder, config);
  if (!status.ok()) return status;
  return config;
}

}  // namespace attnd
