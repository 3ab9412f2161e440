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

}  // namespace

absl::Status ReadSentenceFiles(const std::string& folder, ModelConfig& config) {
  absl::StatusOr<Modules> modules = ReadModules(folder + "/modules.json");
  if (!modules.ok()) return modules.status();
  config.pooling.normalize = modules->normalize;
  if (modules->pooling_required) {
    config.task = Task::kEmbed;
    config.labels.clear();
  }
  absl::StatusOr<JsonObject> pooling = ReadJsonObject(absl::StrCat(folder, "/", modules->pooling_path, "/config.json"));
  if (pooling.ok()) {
    if (absl::Status status = Store(ReadPooling(*pooling, config.hidden_size), config.pooling.mode); !status.ok()) {
      return status;
    }
  } else if (modules->pooling_required || !absl::IsNotFound(pooling.status())) {
    return pooling.status();
  }
  absl::StatusOr<JsonObject> sentence = ReadJsonObject(folder + "/sentence_bert_config.json");
  if (absl::IsNotFound(sentence.status())) return absl::OkStatus();
  if (!sentence.ok()) return sentence.status();
  // It may promise more than the position table has.
  absl::StatusOr<int> length = sentence->Int("max_seq_length", 1, kPositionsMax, config.max_tokens);
  if (!length.ok()) return length.status();
  config.max_tokens = std::min(*length, config.max_tokens);
  return absl::OkStatus();
}

}  // namespace attnd
