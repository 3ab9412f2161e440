#include "core/model/decoder_model.h"

#include <future>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/model/gguf_model.h"
#include "core/model/json_file.h"
#include "core/model/lower_case.h"
#include "core/weights/gguf.h"
#include "core/weights/tensor_source.h"

namespace attnd {
namespace {

// What a checkpoint of either kind comes down to.
struct Parts {
  absl::StatusOr<DecoderConfig> config = absl::UnknownError("");
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = nullptr;
  absl::StatusOr<std::unique_ptr<ChatTemplate>> chat_template = nullptr;
  absl::StatusOr<std::unique_ptr<Decoder>> decoder = nullptr;
  EmbeddingConfig embedding;
  DenseModules dense;
};

// The tokenizer is made while the weights are read and packed: both take a while. What either throws comes out when
// both have ended.
template <typename Text, typename Weights>
void LoadBoth(const Text& text, const Weights& weights) {
  std::future<void> loading = std::async(std::launch::async, text);
  weights();
  loading.get();
}

absl::StatusOr<Parts> LoadGguf(const std::string& path, Precision precision) {
  auto file = GgufFile::Open(path);
  if (!file.ok()) return file.status();
  Parts parts;
  parts.config = LoadGgufConfig(**file);
  if (!parts.config.ok()) return parts.config.status();
  auto embedding = LoadGgufEmbedding(**file, *parts.config);
  if (!embedding.ok()) return embedding.status();
  parts.embedding = *std::move(embedding);
  LoadBoth(
      [&] {
        parts.tokenizer = LoadGgufTokenizer(**file);
        parts.chat_template = LoadGgufChatTemplate(**file);
      },
      [&] { parts.decoder = Decoder::Make(*parts.config, **file, CheckpointNames::kGguf, precision); });
  return parts;
}

absl::StatusOr<Parts> LoadFolder(const std::string& path, Precision precision) {
  Parts parts;
  parts.config = LoadDecoderConfig(path);
  if (!parts.config.ok()) return parts.config.status();
  auto embedding = LoadDecoderEmbedding(path, parts.config->hidden_size, parts.config->max_tokens);
  if (!embedding.ok()) return embedding.status();
  parts.embedding = *std::move(embedding);
  auto dense = DenseModules::Load(path, parts.embedding);
  if (!dense.ok()) return dense.status();
  parts.dense = *std::move(dense);
  auto source = OpenCheckpoint(path);
  if (!source.ok()) return source.status();
  LoadBoth(
      [&] {
        parts.tokenizer = Tokenizer::Load(path + "/tokenizer.json");
        parts.chat_template = ChatTemplate::Load(path);
      },
      [&] { parts.decoder = Decoder::Make(*parts.config, **source, CheckpointNames::kHuggingFace, precision); });
  return parts;
}

absl::StatusOr<std::unique_ptr<DecoderModel>> LoadDecoderModel(const std::string& path, Precision precision) {
  absl::StatusOr<Parts> parts = absl::EndsWith(path, ".gguf") ? LoadGguf(path, precision) : LoadFolder(path, precision);
  if (!parts.ok()) return parts.status();
  for (const absl::Status& status :
       {parts->decoder.status(), parts->tokenizer.status(), parts->chat_template.status()}) {
    if (!status.ok()) return status;
  }
  auto model = std::make_unique<DecoderModel>();
  model->path = path;
  model->tokenizer = *std::move(parts->tokenizer);
  model->chat_template = *std::move(parts->chat_template);
  model->decoder = *std::move(parts->decoder);
  model->embedding = std::move(parts->embedding);
  model->dense = std::move(parts->dense);
  if (model->embedding.lower_case) {
    if (absl::Status status = CheckLowerCase(path, *model->tokenizer); !status.ok()) return status;
  }
  return model;
}

}  // namespace

absl::StatusOr<std::unique_ptr<DecoderModel>> DecoderModel::Load(const std::string& path, Precision precision) {
  try {
    return LoadDecoderModel(path, precision);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(path, ": there is not enough memory for the model"));
  }
}

bool IsDecoderPath(const std::string& path) {
  if (absl::EndsWith(path, ".gguf")) return true;
  const absl::StatusOr<JsonObject> config = ReadJsonObject(path + "/config.json");
  if (!config.ok()) return false;
  const absl::StatusOr<std::string> type = config->String("model_type", "");
  return type.ok() && IsDecoderType(*type);
}

}  // namespace attnd
