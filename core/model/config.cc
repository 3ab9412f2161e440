#include "core/model/config.h"

#include "absl/status/status.h"
#include "core/model/config_parts.h"

namespace attnd {

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& folder) {
  absl::StatusOr<JsonObject> file = ReadJsonObject(folder + "/config.json");
  if (!file.ok()) return file.status();
  ModelConfig config;
  absl::Status status = file->Require({"model_type"});
  status.Update(Store(file->String("model_type", ""), config.model_type));
  status.Update(Store(file->Strings("architectures"), config.architectures));
  if (!status.ok()) return status;
  absl::StatusOr<bool> known = ReadFamily(*file, config);
  if (!known.ok()) return known.status();
  if (!*known) return config;
  config.embedding_size = config.hidden_size;
  status = ReadTask(*file, config);
  if (status.ok()) status = ReadModules(folder, config);
  if (status.ok()) status = ReadTextRules(folder, config);
  if (!status.ok()) return status;
  return config;
}

}  // namespace attnd
