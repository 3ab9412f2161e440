// What config.json of each family of encoders says, and under which keys.
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/model/config_parts.h"

namespace attnd {
namespace {

// The names under which a family keeps its sizes, and what a missing key means.
struct Family {
  const char* model_type;
  const char* hidden_size = "hidden_size";
  const char* layers = "num_hidden_layers";
  const char* heads = "num_attention_heads";
  const char* intermediate_size = "intermediate_size";
  const char* activation = "hidden_act";
  const char* activation_default = "gelu";
  const char* epsilon = "layer_norm_eps";
  double epsilon_default = 1e-12;
  const char* types = "type_vocab_size";  // null: no segments
  int types_default = 2;
  absl::Status (*more)(const JsonObject& file, ModelConfig& config) = nullptr;
};

absl::Status ReadRoberta(const JsonObject& file, ModelConfig& config) {
  return Store(file.Int("pad_token_id", 0, kVocabularyMax, 1), config.padding_id);
}

absl::Status ReadMpnet(const JsonObject& file, ModelConfig& config) {
  config.padding_id = 1;  // whatever pad_token_id says
  // The reference ignores other values where it finds the buckets.
  return file.Int("relative_attention_num_buckets", 32, 32, 32).status();
}

absl::Status ReadWordSize(const JsonObject& file, ModelConfig& config) {
  return Store(file.Int("embedding_size", 1, kHiddenMax, 128), config.word_size);
}

absl::Status ReadAlbert(const JsonObject& file, ModelConfig& config) {
  absl::Status status = ReadWordSize(file, config);
  status.Update(Store(file.Int("num_hidden_groups", 1, config.layers, 1), config.layer_groups));
  status.Update(file.Int("inner_group_num", 1, 1, 1).status());
  return status;
}

// "layer_types" lists them; before it, every nth layer is global.
absl::Status ReadLocalLayers(const JsonObject& file, ModelConfig& config) {
  std::vector<bool>& local = config.modernbert.local_layers;
  int every = 0;
  absl::Status status = Store(file.Int("global_attn_every_n_layers", 1, kLayersMax, 3), every);
  if (!status.ok()) return status;
  for (int l = 0; l < config.layers; ++l) local.push_back(l % every != 0);
  if (!file.Has("layer_types")) return absl::OkStatus();
  const nlohmann::json& types = file.json().at("layer_types");
  if (!types.is_array() || types.size() != static_cast<size_t>(config.layers)) {
    return file.Fault("layer_types", absl::StrCat("must be a list of ", config.layers, " layers"));
  }
  for (int l = 0; l < config.layers; ++l) {
    if (types[l] != "sliding_attention" && types[l] != "full_attention") {
      return file.Fault("layer_types",
                        absl::StrCat("must hold sliding_attention or full_attention, holds ", ShownValue(types[l])));
    }
    local[l] = types[l] == "sliding_attention";
  }
  return absl::OkStatus();
}

// rope_parameters.KIND.rope_theta; before it, `key` of the file itself.
absl::Status ReadTheta(const JsonObject& file, const std::string& kind, const std::string& key, double& theta) {
  constexpr double kMax = 1e12;
  absl::Status status = Store(file.Number(key, 1, kMax, theta), theta);
  if (!status.ok() || !file.Has("rope_parameters")) return status;
  const nlohmann::json& all = file.json().at("rope_parameters");
  if (!all.is_object()) return file.Fault("rope_parameters", "must be an object");
  if (!all.contains(kind) || !all.at(kind).is_object()) return absl::OkStatus();
  const JsonObject rope(all.at(kind), absl::StrCat(file.name(), ": rope_parameters.", kind));
  std::string type;
  status.Update(Store(rope.Number("rope_theta", 1, kMax, theta), theta));
  status.Update(Store(rope.String("rope_type", "default"), type));
  if (status.ok() && type != "default") {
    return rope.Fault("rope_type", absl::StrCat("must be default, is ", ShownValue(type)));
  }
  return status;
}

absl::Status ReadModernBert(const JsonObject& file, ModelConfig& config) {
  ModernBertOptions& options = config.modernbert;
  int local = 0;
  std::string pooling;
  absl::Status status = Store(file.Bool("attention_bias", false), options.attention_bias);
  status.Update(Store(file.Bool("mlp_bias", false), options.mlp_bias));
  status.Update(Store(file.Bool("norm_bias", false), options.norm_bias));
  status.Update(Store(file.Bool("classifier_bias", false), options.classifier_bias));
  status.Update(Store(file.Bool("decoder_bias", true), options.decoder_bias));
  status.Update(ReadActivation(file, "classifier_activation", "gelu", options.classifier_activation));
  status.Update(Store(file.String("classifier_pooling", "cls"), pooling));
  status.Update(Store(file.Int("local_attention", 1, kPositionsMax, 128), local));
  status.Update(ReadLocalLayers(file, config));
  status.Update(ReadTheta(file, "full_attention", "global_rope_theta", options.global_theta));
  status.Update(ReadTheta(file, "sliding_attention", "local_rope_theta", options.local_theta));
  if (!status.ok()) return status;
  options.window = local / 2;
  if (pooling != "cls" && pooling != "mean") {
    return file.Fault("classifier_pooling", absl::StrCat("must be cls or mean, is ", ShownValue(pooling)));
  }
  options.classifier_pooling = pooling == "mean" ? PoolingMode::kMean : PoolingMode::kCls;
  // No tensor confirms the positions, and tables are made for them.
  constexpr int64_t kTableMax = int64_t{1} << 27;
  if (int64_t{config.max_positions} * config.head_dim() > kTableMax) {
    return file.Fault("max_position_embeddings", absl::StrCat("is ", config.max_positions, ", times heads of ",
                                                              config.head_dim(), " above ", kTableMax));
  }
  if (config.head_dim() % 2 != 0) {
    return file.Fault("hidden_size", absl::StrCat("gives heads of ", config.head_dim(), ", which must be even"));
  }
  return absl::OkStatus();
}

constexpr Family kFamilies[] = {
    {.model_type = "bert"},
    {.model_type = "distilbert",
     .hidden_size = "dim",
     .layers = "n_layers",
     .heads = "n_heads",
     .intermediate_size = "hidden_dim",
     .activation = "activation",
     .types = nullptr},
    {.model_type = "roberta", .more = ReadRoberta},
    {.model_type = "xlm-roberta", .more = ReadRoberta},
    {.model_type = "camembert", .more = ReadRoberta},
    {.model_type = "mpnet", .types = nullptr, .more = ReadMpnet},
    {.model_type = "electra", .more = ReadWordSize},
    {.model_type = "albert", .activation_default = "gelu_new", .more = ReadAlbert},
    {.model_type = "modernbert",
     .activation = "hidden_activation",
     .epsilon = "norm_eps",
     .epsilon_default = 1e-5,
     .types = nullptr,
     .more = ReadModernBert},
};

const Family* FindFamily(const std::string& model_type) {
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return &family;
  }
  return nullptr;
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

absl::Status ReadSizes(const JsonObject& file, const Family& keys, ModelConfig& config) {
  absl::Status status = file.Require(
      {keys.hidden_size, keys.layers, keys.heads, keys.intermediate_size, "vocab_size", "max_position_embeddings"});
  status.Update(Store(file.Int(keys.hidden_size, 1, kHiddenMax, 0), config.hidden_size));
  status.Update(Store(file.Int(keys.layers, 1, kLayersMax, 0), config.layers));
  status.Update(Store(file.Int(keys.heads, 1, kHiddenMax, 0), config.heads));
  status.Update(Store(file.Int(keys.intermediate_size, 1, kIntermediateMax, 0), config.intermediate_size));
  status.Update(Store(file.Int("vocab_size", 1, kVocabularyMax, 0), config.vocab_size));
  status.Update(Store(file.Int("max_position_embeddings", 1, kPositionsMax, 0), config.max_positions));
  if (keys.types != nullptr) {
    status.Update(Store(file.Int(keys.types, 1, kTypesMax, keys.types_default), config.type_vocab_size));
  }
  status.Update(Store(file.Number(keys.epsilon, 1e-20, 1, keys.epsilon_default), config.layer_norm_eps));
  status.Update(ReadActivation(file, keys.activation, keys.activation_default, config.activation));
  if (!status.ok()) return status;
  if (config.hidden_size % config.heads != 0) {
    return file.Fault(keys.heads, absl::StrCat("is ", config.heads, ", which does not divide ", keys.hidden_size, " ",
                                               config.hidden_size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadActivation(const JsonObject& file, const std::string& key, const std::string& otherwise,
                            Activation& to) {
  absl::StatusOr<std::string> name = file.String(key, otherwise);
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
  return file.Fault(
      key, absl::StrCat("must be one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, is ", ShownValue(*name)));
}

absl::StatusOr<bool> ReadFamily(const JsonObject& file, ModelConfig& config) {
  const Family* family = FindFamily(config.model_type);
  if (family == nullptr) return false;
  absl::Status status = RefuseUnsupported(file);
  status.Update(ReadSizes(file, *family, config));
  config.word_size = config.hidden_size;
  if (status.ok() && family->more != nullptr) status = family->more(file, config);
  if (!status.ok()) return status;
  config.max_tokens = config.max_positions - (config.padding_id + 1);
  if (config.max_tokens < 1) {
    return file.Fault("max_position_embeddings",
                      absl::StrCat("is ", config.max_positions, ", and positions begin at ", config.padding_id + 1));
  }
  return true;
}

}  // namespace attnd
