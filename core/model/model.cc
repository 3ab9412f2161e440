#include "core/model/model.h"

#include <future>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/model/json_file.h"
#include "core/model/lower_case.h"
#include "core/model/registry.h"
#include "core/weights/tensor_source.h"

namespace attnd {
namespace {

// The id of the mask token that tokenizer_config.json names, as a string or as an object with its content; without it,
// that of [MASK] or <mask>.
absl::StatusOr<int32_t> MaskToken(const std::string& folder, const Tokenizer& tokenizer) {
  const std::string path = absl::StrCat(folder, "/tokenizer_config.json");
  absl::StatusOr<JsonObject> file = ReadJsonObject(path);
  if (!file.ok() && !absl::IsNotFound(file.status())) return file.status();
  if (file.ok() && file->Has("mask_token")) {
    const nlohmann::json& token = file->json().at("mask_token");
    absl::StatusOr<std::string> text = token.is_object()
                                           ? JsonObject(token, absl::StrCat(path, ": mask_token")).String("content", "")
                                           : file->String("mask_token", "");
    if (!text.ok()) return text.status();
    const int32_t id = tokenizer.TokenId(*text);
    return id >= 0 ? absl::StatusOr<int32_t>(id) : file->Fault("mask_token", "is not in the vocabulary");
  }
  const int32_t id = tokenizer.TokenId("[MASK]");
  return id >= 0 ? id : tokenizer.TokenId("<mask>");
}

// What the parts must agree on.
absl::Status Check(const Model& model) {
  const ModelConfig& config = model.config;
  if (model.tokenizer->vocabulary_size() > config.vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(model.folder, "/tokenizer.json: token ids up to ",
                                                   model.tokenizer->vocabulary_size() - 1,
                                                   ", but config.json's vocab_size is ", config.vocab_size));
  }
  return config.lower_case ? CheckLowerCase(model.folder, *model.tokenizer) : absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Model>> LoadEncoderModel(const std::string& folder, Precision precision) {
  auto config = LoadModelConfig(folder);
  if (!config.ok()) return config.status();
  config->precision = precision;
  auto file = OpenCheckpoint(folder);
  if (!file.ok()) return file.status();

  // The tokenizer parses its JSON while the weights are read and packed: two thirds of the way to ready.
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = nullptr;
  std::future<void> loading =
      std::async(std::launch::async, [&] { tokenizer = Tokenizer::Load(absl::StrCat(folder, "/tokenizer.json")); });
  auto encoder = MakeEncoder(*config, **file);
  absl::StatusOr<std::unique_ptr<Head>> head = nullptr;
  if (encoder.ok()) head = MakeHead(*config, **file);
  loading.get();
  if (!encoder.ok()) return encoder.status();
  if (!head.ok()) return head.status();
  if (!tokenizer.ok()) return tokenizer.status();
  auto dense = DenseModules::Load(folder, *config);
  if (!dense.ok()) return dense.status();

  auto model = std::make_unique<Model>();
  model->folder = folder;
  model->config = *std::move(config);
  model->tokenizer = *std::move(tokenizer);
  model->encoder = *std::move(encoder);
  model->dense = *std::move(dense);
  model->head = *std::move(head);
  model->weight_bytes =
      model->encoder->weight_bytes() + (model->head == nullptr ? 0 : model->head->bytes()) + model->dense.bytes();
  if (absl::Status status = Check(*model); !status.ok()) return status;
  if (model->config.task == Task::kFillMask) {
    absl::StatusOr<int32_t> mask = MaskToken(folder, *model->tokenizer);
    if (!mask.ok()) return mask.status();
    model->mask_token_id = *mask;
  }
  return model;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const std::string& folder, Precision precision) {
  try {
    return LoadEncoderModel(folder, precision);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(absl::StrCat(folder, ": there is not enough memory for the model"));
  }
}

}  // namespace attnd
