// Any bytes as the JSON files of a model folder. What is accepted must be inside the bounds that the encoders count on.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "core/model/config.h"

namespace attnd {
namespace {

constexpr const char* kFiles[] = {"config.json",           "modules.json",
                                  "1_Pooling/config.json", "sentence_bert_config.json",
                                  "2_Dense/config.json",   "config_sentence_transformers.json",
                                  "tokenizer_config.json"};

void Check(bool holds) {
  if (!holds) std::abort();
}

// Each takes what the one before gives.
void CheckDense(const EmbeddingConfig& config, int size) {
  for (const DenseConfig& dense : config.dense) {
    Check(dense.inputs == size && dense.outputs >= 1 && dense.outputs <= 16384);
    size = dense.outputs;
  }
  Check(config.embedding_size == size);
}

// One folder a process, removed at its end.
class Folder {
 public:
  Folder() {
    path_ = (std::filesystem::temp_directory_path() / "attnd-fuzz-XXXXXX").string();
    Check(mkdtemp(path_.data()) != nullptr);
    std::filesystem::create_directory(path_ + "/1_Pooling");
    std::filesystem::create_directory(path_ + "/2_Dense");
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The files stand in the input one after the other, parted by a 0x1e byte; those that are not in it do not exist.
void Fuzz(std::string_view input) {
  static const Folder folder;
  static std::string written[std::size(kFiles)];  // what the files hold; empty: there is none
  for (size_t i = 0; i < std::size(kFiles); ++i) {
    const std::string_view content = input.substr(0, input.find('\x1e'));
    input.remove_prefix(std::min(content.size() + 1, input.size()));
    if (content == written[i]) continue;
    written[i] = content;
    const std::string path = folder.path() + "/" + kFiles[i];
    if (content.empty()) {
      unlink(path.c_str());
    } else {
      std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    }
  }
  const auto embedding = LoadDecoderEmbedding(folder.path(), 64, 512);
  if (embedding.ok()) {
    Check(embedding->max_tokens >= 1 && embedding->max_tokens <= 512);
    CheckDense(*embedding, 64);
  }
  auto config = LoadModelConfig(folder.path());
  if (!config.ok()) {
    Check(config.status().message().size() < 4096);
    return;
  }
  Check(config->model_type.size() <= 256);
  if (config->hidden_size == 0) return;  // an unknown type
  Check(config->hidden_size >= 1 && config->hidden_size <= 16384);
  Check(config->word_size >= 1 && config->word_size <= 16384);
  Check(config->heads >= 1 && config->hidden_size % config->heads == 0);
  Check(config->layers >= 1 && config->layers <= 1024);
  Check(config->layer_groups >= 0 && config->layer_groups <= config->layers);
  Check(config->intermediate_size >= 1 && config->intermediate_size <= 1 << 18);
  Check(config->vocab_size >= 1 && config->vocab_size <= 1 << 22);
  Check(config->type_vocab_size >= 0 && config->type_vocab_size <= 1024);
  Check(config->max_positions >= 1 && config->max_positions <= 1 << 20);
  Check(config->max_tokens >= 1 && config->max_tokens <= config->max_positions - config->padding_id - 1);
  Check(config->layer_norm_eps > 0 && config->layer_norm_eps <= 1);
  Check(config->labels.size() <= 4096 && config->logit_columns() >= 0);
  Check(config->task == Task::kEmbed || config->logit_columns() > 0);
  CheckDense(*config, config->hidden_size);
  Check(config->default_prompt_name.empty() || config->prompts.contains(config->default_prompt_name));
  if (config->model_type != "modernbert") return;
  Check(config->modernbert.local_layers.size() == static_cast<size_t>(config->layers));
  Check(config->modernbert.window >= 0 && config->head_dim() % 2 == 0);
}

}  // namespace
}  // namespace attnd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  attnd::Fuzz(std::string_view(reinterpret_cast<const char*>(input), size));
  return 0;
}
