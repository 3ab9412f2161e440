#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/model/config_parts.h"

namespace attnd {
namespace {

constexpr size_t kModulesMax = 16;

// What modules.json says; where there is none, the default.
struct Modules {
  bool listed = false;  // there is a modules.json
  std::string pooling_path = "1_Pooling";
  bool pooling_required = false;
  bool normalize = false;
  std::vector<std::string> dense_paths;
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
  const auto inside = [&](const char* what) {
    if (IsInside(*path)) return absl::OkStatus();
    return module.Fault("path", absl::StrCat("of the ", what, " must name a folder inside the model's"));
  };
  if (absl::EndsWith(*type, ".Transformer")) {
    if (!path->empty())
      return module.Fault("path", "of the Transformer must be empty: its files are in the folder itself");
  } else if (absl::EndsWith(*type, ".Pooling")) {
    modules.pooling_path = *path;
    modules.pooling_required = true;
    return inside("Pooling");
  } else if (absl::EndsWith(*type, ".Dense")) {
    if (!modules.pooling_required || modules.normalize) {
      return module.Fault("type", "Dense is supported after Pooling and before Normalize only");
    }
    modules.dense_paths.push_back(*path);
    return inside("Dense");
  } else if (absl::EndsWith(*type, ".Normalize")) {
    modules.normalize = true;
  } else if (!absl::EndsWith(*type, ".Dropout")) {  // which does nothing once a model is trained
    return module.Fault(
        "type",
        absl::StrCat("must be a Transformer, Pooling, Dense, Normalize or Dropout of sentence_transformers, is ",
                     ShownValue(*type)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Modules> ReadModuleList(const std::string& path) {
  Modules modules;
  absl::StatusOr<nlohmann::json> json = ReadJson(path);
  if (absl::IsNotFound(json.status())) return modules;
  if (!json.ok()) return json.status();
  if (!json->is_array() || json->size() > kModulesMax) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a list of at most ", kModulesMax, " modules"));
  }
  modules.listed = true;
  for (size_t i = 0; i < json->size(); ++i) {
    const std::string name = absl::StrCat(path, ": module ", i);
    if (!(*json)[i].is_object()) return absl::InvalidArgumentError(absl::StrCat(name, " is not an object"));
    if (absl::Status status = ReadModule(JsonObject((*json)[i], name), modules); !status.ok()) return status;
  }
  return modules;
}

absl::Status UsePoolingMode(const JsonObject& file, const std::string& key, const std::string& mode, ModulesOf of,
                            PoolingConfig& to) {
  const bool decoder = of == ModulesOf::kDecoder;
  to.last_token = decoder && mode == "lasttoken";
  if (to.last_token) return absl::OkStatus();
  if (mode == "mean" || mode == "mean_tokens") {
    to.mode = PoolingMode::kMean;
  } else if (!decoder && (mode == "cls" || mode == "cls_token")) {
    to.mode = PoolingMode::kCls;
  } else if (!decoder && (mode == "max" || mode == "max_tokens")) {
    to.mode = PoolingMode::kMax;
  } else {
    return file.Fault(key, absl::StrCat("asks for the pooling ", ShownValue(mode), "; ",
                                        decoder ? "lasttoken and mean are supported of a decoder"
                                                : "mean, cls and max are supported"));
  }
  return absl::OkStatus();
}

// Either flags pooling_mode_*, of which exactly one may be true, or "pooling_mode": "mean".
absl::Status ReadPooling(const JsonObject& file, int hidden_size, ModulesOf of, PoolingConfig& to) {
  for (const char* key : {"word_embedding_dimension", "embedding_dimension"}) {
    absl::StatusOr<int> width = file.Int(key, 1, kHiddenMax, hidden_size);
    if (!width.ok()) return width.status();
    if (*width != hidden_size) {
      return file.Fault(key, absl::StrCat("is ", *width, ", the model's is ", hidden_size));
    }
  }
  absl::StatusOr<bool> prompt = file.Bool("include_prompt", true);
  if (!prompt.ok()) return prompt.status();
  if (!*prompt) return file.Fault("include_prompt", "is false, and prompts cannot be left out of the pooling");
  if (file.Has("pooling_mode")) {
    absl::StatusOr<std::string> mode = file.String("pooling_mode", "");
    if (!mode.ok()) return mode.status();
    return UsePoolingMode(file, "pooling_mode", *mode, of, to);
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
  return UsePoolingMode(file, set.front(), set.front().substr(kPrefix.size()), of, to);
}

// A Python class, by the last part of its name.
absl::Status ReadDenseActivation(const JsonObject& file, Activation& to) {
  constexpr const char* kKey = "activation_function";
  absl::StatusOr<std::string> name = file.String(kKey, "torch.nn.modules.activation.Tanh");
  if (!name.ok()) return name.status();
  static constexpr std::pair<const char*, Activation> kKnown[] = {
      {".Identity", Activation::kNone}, {".Tanh", Activation::kTanh}, {".ReLU", Activation::kRelu},
      {".GELU", Activation::kGelu},     {".SiLU", Activation::kSilu},
  };
  for (const auto& [known, activation] : kKnown) {
    if (absl::EndsWith(*name, known)) {
      to = activation;
      return absl::OkStatus();
    }
  }
  return file.Fault(kKey, absl::StrCat("must be torch's Identity, Tanh, ReLU, GELU or SiLU, is ", ShownValue(*name)));
}

absl::Status ReadDense(const std::string& folder, const std::string& path, EmbeddingConfig& config) {
  absl::StatusOr<JsonObject> file = ReadJsonObject(absl::StrCat(folder, "/", path, "/config.json"));
  if (!file.ok()) return file.status();
  DenseConfig dense{.path = path};
  absl::Status status = file->Require({"in_features", "out_features"});
  status.Update(Store(file->Int("in_features", 1, kHiddenMax, 0), dense.inputs));
  status.Update(Store(file->Int("out_features", 1, kHiddenMax, 0), dense.outputs));
  status.Update(Store(file->Bool("bias", true), dense.bias));
  status.Update(ReadDenseActivation(*file, dense.activation));
  if (!status.ok()) return status;
  if (dense.inputs != config.embedding_size) {
    return file->Fault("in_features", absl::StrCat("is ", dense.inputs, ", the embedding before it has ",
                                                   config.embedding_size, " numbers"));
  }
  for (const char* key : {"module_input_name", "module_output_name"}) {
    absl::StatusOr<std::string> name = file->String(key, "sentence_embedding");
    if (!name.ok()) return name.status();
    if (*name != "sentence_embedding") {
      return file->Fault(key, absl::StrCat("must be sentence_embedding, is ", ShownValue(*name)));
    }
  }
  config.embedding_size = dense.outputs;
  config.dense.push_back(std::move(dense));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<bool> ReadModules(const std::string& folder, int hidden_size, ModulesOf of, EmbeddingConfig& config) {
  absl::StatusOr<Modules> modules = ReadModuleList(folder + "/modules.json");
  if (!modules.ok()) return modules.status();
  if (of == ModulesOf::kDecoder && !modules->listed) return false;
  config.pooling.normalize = modules->normalize;
  absl::StatusOr<JsonObject> pooling = ReadJsonObject(absl::StrCat(folder, "/", modules->pooling_path, "/config.json"));
  if (pooling.ok()) {
    if (absl::Status status = ReadPooling(*pooling, hidden_size, of, config.pooling); !status.ok()) return status;
  } else if (modules->pooling_required || !absl::IsNotFound(pooling.status())) {
    return pooling.status();
  }
  for (const std::string& path : modules->dense_paths) {
    if (absl::Status status = ReadDense(folder, path, config); !status.ok()) return status;
  }
  return modules->pooling_required;
}

}  // namespace attnd
