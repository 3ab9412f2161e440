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
  if (!status.ok()) return status;
  absl::StatusOr<bool> pools = ReadModules(folder, config.hidden_size, ModulesOf::kEncoder, config);
  if (!pools.ok()) return pools.status();
  if (*pools) {
    config.task = Task::kEmbed;
    config.labels.clear();
  }
  status = ReadTextRules(folder, config);
  if (status.ok()) status = ReadScoreRules(folder, config);
  if (!status.ok()) return status;
  return config;
}

EmbeddingConfig DefaultDecoderEmbedding(int hidden_size, int max_tokens) {
  EmbeddingConfig config;
  config.max_tokens = max_tokens;
  config.pooling.last_token = true;
  config.embedding_size = hidden_size;
  return config;
}

absl::StatusOr<EmbeddingConfig> LoadDecoderEmbedding(const std::string& folder, int hidden_size, int max_tokens) {
  EmbeddingConfig config = DefaultDecoderEmbedding(hidden_size, max_tokens);
  absl::StatusOr<bool> pools = ReadModules(folder, hidden_size, ModulesOf::kDecoder, config);
  if (!pools.ok()) return pools.status();
  if (!*pools) return config;  // the tokenizer's model_max_length is no limit of what is embedded
  if (absl::Status status = ReadTextRules(folder, config); !status.ok()) return status;
  return config;
}

}  // namespace attnd
