#include "core/model/model.h"

#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/weights/tensor_source.h"

namespace attnd {

absl::StatusOr<std::unique_ptr<Model>> Model::Load(const std::string& folder) {
  auto config = LoadModelConfig(folder);
  if (!config.ok()) return config.status();
  auto file = OpenCheckpoint(folder);
  if (!file.ok()) return file.status();

  // The tokenizer parses its JSON while the weights are read and packed: two thirds of the way to ready.
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = nullptr;
  std::thread loading([&] { tokenizer = Tokenizer::Load(absl::StrCat(folder, "/tokenizer.json")); });
  auto encoder = MakeEncoder(*config, **file);
  loading.join();
  if (!encoder.ok()) return encoder.status();
  if (!tokenizer.ok()) return tokenizer.status();
  if ((*tokenizer)->vocabulary_size() > config->vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(folder, "/tokenizer.json: token ids up to ",
                                                   (*tokenizer)->vocabulary_size() - 1,
                                                   ", but config.json's vocab_size is ", config->vocab_size));
  }

  auto model = std::make_unique<Model>();
  model->folder = folder;
  model->config = *std::move(config);
  model->tokenizer = *std::move(tokenizer);
  model->encoder = *std::move(encoder);
  model->weight_bytes = model->encoder->weight_bytes();
  return model;
}

}  // namespace attnd
