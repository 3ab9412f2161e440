// A model folder to write JSON files into.
#ifndef ATTND_TESTS_CORE_MODEL_CONFIG_TESTING_H_
#define ATTND_TESTS_CORE_MODEL_CONFIG_TESTING_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/model/config.h"

namespace attnd {

inline constexpr char kConfig[] =
    R"({"architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": 384, "intermediate_size": 1536,
  "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12,
  "num_hidden_layers": 6, "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": 30522})";
inline constexpr char kModules[] = R"([
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
  {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])";
inline constexpr char kPooling[] =
    R"({"word_embedding_dimension": 384, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
  "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false})";
inline constexpr char kSentence[] = R"({"max_seq_length": 256, "do_lower_case": false})";

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    std::string path = (std::filesystem::temp_directory_path() / "attnd-config-XXXXXX").string();
    folder_ = mkdtemp(path.data());
  }
  ~ConfigTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(folder_ + "/" + name).parent_path());
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
  }
  void WriteSentenceTransformer() {
    Write("config.json", kConfig);
    Write("modules.json", kModules);
    Write("1_Pooling/config.json", kPooling);
    Write("sentence_bert_config.json", kSentence);
  }
  // The status of loading, which must not be OK, with the folder's own name taken out.
  std::string Fault() {
    auto config = LoadModelConfig(folder_);
    if (config.ok()) return "OK";
    std::string message(config.status().message());
    EXPECT_LT(message.size(), 700u);
    for (size_t at; (at = message.find(folder_ + "/")) != std::string::npos;) message.erase(at, folder_.size() + 1);
    return message;
  }

  std::string folder_;
};

}  // namespace attnd

#endif  // ATTND_TESTS_CORE_MODEL_CONFIG_TESTING_H_
