#include "core/model/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

#include "tests/core/model/config_testing.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(ConfigTest, ReadsASentenceTransformer) {
  WriteSentenceTransformer();
  auto config = LoadModelConfig(folder_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model_type, "bert");
  EXPECT_THAT(config->architectures, ElementsAre("BertModel"));
  EXPECT_EQ(config->hidden_size, 384);
  EXPECT_EQ(config->layers, 6);
  EXPECT_EQ(config->heads, 12);
  EXPECT_EQ(config->head_dim(), 32);
  EXPECT_EQ(config->intermediate_size, 1536);
  EXPECT_EQ(config->vocab_size, 30522);
  EXPECT_EQ(config->type_vocab_size, 2);
  EXPECT_EQ(config->max_positions, 512);
  EXPECT_EQ(config->layer_norm_eps, 1e-12f);
  EXPECT_EQ(config->activation, Activation::kGelu);
  EXPECT_EQ(config->max_tokens, 256);
  EXPECT_EQ(config->pooling.mode, PoolingMode::kMean);
  EXPECT_TRUE(config->pooling.normalize);
}

TEST_F(ConfigTest, DefaultsWithoutTheSentenceFiles) {
  Write("config.json", kConfig);
  auto config = LoadModelConfig(folder_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->max_tokens, 512);
  EXPECT_EQ(config->pooling.mode, PoolingMode::kMean);
  EXPECT_FALSE(config->pooling.normalize);
}

TEST_F(ConfigTest, ReadsTheGoldenModels) {
  for (const char* name : {"bert", "bert-classify", "bert-token", "bert-mlm"}) {
    auto config = LoadModelConfig(std::string(ATTND_SOURCE_DIR "/tests/golden/") + name);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->max_tokens, 130);
    EXPECT_EQ(config->vocab_size, 800);
  }
}

TEST_F(ConfigTest, PoolingModes) {
  WriteSentenceTransformer();
  for (const auto& [json, mode] : std::vector<std::pair<std::string, PoolingMode>>{
           {R"({"pooling_mode_cls_token": true})", PoolingMode::kCls},
           {R"({"pooling_mode_max_tokens": true, "pooling_mode_cls_token": false})", PoolingMode::kMax},
           {R"({"pooling_mode": "cls"})", PoolingMode::kCls},
           {R"({"pooling_mode": "mean", "word_embedding_dimension": 384})", PoolingMode::kMean},
       }) {
    Write("1_Pooling/config.json", json);
    auto config = LoadModelConfig(folder_);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->pooling.mode, mode) << json;
  }
}

TEST_F(ConfigTest, TheModulesNameThePoolingsFolder) {
  WriteSentenceTransformer();
  Write("modules.json", R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
                            {"type": "sentence_transformers.models.Pooling", "path": "pool/mine"}])");
  EXPECT_THAT(Fault(), HasSubstr("cannot open pool/mine/config.json"));
  Write("pool/mine/config.json", R"({"pooling_mode_max_tokens": true})");
  auto config = LoadModelConfig(folder_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->pooling.mode, PoolingMode::kMax);
  EXPECT_FALSE(config->pooling.normalize);
}

TEST_F(ConfigTest, MoreTokensThanPositionsAreCut) {
  WriteSentenceTransformer();
  Write("sentence_bert_config.json", R"({"max_seq_length": 1024})");
  EXPECT_EQ(LoadModelConfig(folder_).value().max_tokens, 512);
  Write("sentence_bert_config.json", R"({"max_seq_length": null})");
  EXPECT_EQ(LoadModelConfig(folder_).value().max_tokens, 512);
}

TEST_F(ConfigTest, Activations) {
  for (const auto& [name, activation] :
       std::vector<std::pair<const char*, Activation>>{{"gelu", Activation::kGelu},
                                                       {"gelu_new", Activation::kGeluTanh},
                                                       {"gelu_pytorch_tanh", Activation::kGeluTanh},
                                                       {"relu", Activation::kRelu},
                                                       {"silu", Activation::kSilu}}) {
    nlohmann::json json = nlohmann::json::parse(kConfig);
    json["hidden_act"] = name;
    Write("config.json", json.dump());
    EXPECT_EQ(LoadModelConfig(folder_).value().activation, activation);
  }
}

TEST_F(ConfigTest, AnUnknownTypeStillHasItsName) {
  Write("config.json", R"({"model_type": "mamba", "architectures": ["MambaModel"], "dim": 64})");
  auto config = LoadModelConfig(folder_);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model_type, "mamba");
  EXPECT_THAT(config->architectures, ElementsAre("MambaModel"));
  EXPECT_EQ(config->hidden_size, 0);
}

TEST_F(ConfigTest, MissingFolderIsNotFound) {
  auto config = LoadModelConfig(folder_ + "/none");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(config.status().message()), HasSubstr("none/config.json"));
}

// One key of config.json changed (null: removed), and the error it gives.
struct KeyFault {
  const char* key;
  const char* value;
  const char* message;
};
void PrintTo(const KeyFault& fault, std::ostream* out) { *out << fault.key; }

class ConfigKeyTest : public ConfigTest, public ::testing::WithParamInterface<KeyFault> {};

TEST_P(ConfigKeyTest, IsRefusedByName) {
  nlohmann::json json = nlohmann::json::parse(kConfig);
  json[GetParam().key] = nlohmann::json::parse(GetParam().value);
  if (json[GetParam().key].is_null()) json.erase(GetParam().key);
  Write("config.json", json.dump());
  EXPECT_EQ(Fault(), std::string("config.json: ") + GetParam().key + " " + GetParam().message);
  EXPECT_EQ(LoadModelConfig(folder_).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    Keys, ConfigKeyTest,
    ::testing::Values(
        KeyFault{"model_type", "null", "is missing"}, KeyFault{"model_type", "7", "must be a string, is 7"},
        KeyFault{"architectures", "\"BertModel\"", "must be a list of at most 1024 strings"},
        KeyFault{"architectures", "[1]", "must hold strings of at most 256 bytes, holds 1"},
        KeyFault{"hidden_size", "null", "is missing"},
        KeyFault{"hidden_size", "0", "must be an integer from 1 to 16384, is 0"},
        KeyFault{"hidden_size", "-384", "must be an integer from 1 to 16384, is -384"},
        KeyFault{"hidden_size", "16385", "must be an integer from 1 to 16384, is 16385"},
        KeyFault{"hidden_size", "4294967680", "must be an integer from 1 to 16384, is 4294967680"},
        KeyFault{"hidden_size", "18446744073709551615", "must be an integer from 1 to 16384, is 18446744073709551615"},
        KeyFault{"hidden_size", "1e300", "must be an integer from 1 to 16384, is 1e+300"},
        KeyFault{"hidden_size", "384.5", "must be an integer from 1 to 16384, is 384.5"},
        KeyFault{"hidden_size", "\"384\"", "must be an integer from 1 to 16384, is \"384\""},
        KeyFault{"hidden_size", "[384]", "must be an integer from 1 to 16384, is a list"},
        KeyFault{"hidden_size", "{}", "must be an integer from 1 to 16384, is an object"},
        KeyFault{"hidden_size", "true", "must be an integer from 1 to 16384, is true"},
        KeyFault{"num_attention_heads", "null", "is missing"},
        KeyFault{"num_attention_heads", "0", "must be an integer from 1 to 16384, is 0"},
        KeyFault{"num_attention_heads", "7", "is 7, which does not divide hidden_size 384"},
        KeyFault{"num_attention_heads", "768", "is 768, which does not divide hidden_size 384"},
        KeyFault{"num_hidden_layers", "null", "is missing"},
        KeyFault{"num_hidden_layers", "1025", "must be an integer from 1 to 1024, is 1025"},
        KeyFault{"intermediate_size", "null", "is missing"},
        KeyFault{"intermediate_size", "1000000000", "must be an integer from 1 to 262144, is 1000000000"},
        KeyFault{"vocab_size", "null", "is missing"},
        KeyFault{"vocab_size", "4194305", "must be an integer from 1 to 4194304, is 4194305"},
        KeyFault{"max_position_embeddings", "null", "is missing"},
        KeyFault{"max_position_embeddings", "1048577", "must be an integer from 1 to 1048576, is 1048577"},
        KeyFault{"type_vocab_size", "0", "must be an integer from 1 to 1024, is 0"},
        KeyFault{"layer_norm_eps", "0", "must be a number from 1e-20 to 1, is 0"},
        KeyFault{"layer_norm_eps", "\"1e-12\"", "must be a number from 1e-20 to 1, is \"1e-12\""},
        KeyFault{"hidden_act", "\"mish\"", "must be one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, is \"mish\""},
        KeyFault{"hidden_act", "1", "must be a string, is 1"},
        KeyFault{"position_embedding_type", "\"relative_key\"", "must be absolute, is \"relative_key\""},
        KeyFault{"is_decoder", "true", "is true, and only encoders are supported"},
        KeyFault{"add_cross_attention", "1", "must be true or false, is 1"}),
    [](const auto& info) { return info.param.key + std::to_string(info.index); });

// One file changed, and the error it gives.
struct FileFault {
  const char* file;
  std::string content;
  const char* message;
};
void PrintTo(const FileFault& fault, std::ostream* out) { *out << fault.file; }

class ConfigFileTest : public ConfigTest, public ::testing::WithParamInterface<FileFault> {};

TEST_P(ConfigFileTest, IsRefusedByName) {
  WriteSentenceTransformer();
  Write(GetParam().file, GetParam().content);
  EXPECT_THAT(Fault(), HasSubstr(std::string(GetParam().file) + GetParam().message));
  EXPECT_EQ(LoadModelConfig(folder_).status().code(), absl::StatusCode::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(
    Files, ConfigFileTest,
    ::testing::Values(
        FileFault{"config.json", "", ": not valid JSON"}, FileFault{"config.json", "{", ": not valid JSON"},
        FileFault{"config.json", "[]", ": not a JSON object"}, FileFault{"config.json", "3", ": not a JSON object"},
        FileFault{"config.json", "{} {}", ": not valid JSON"},
        FileFault{"config.json", "{\"a\":\"\xff\"}", ": not valid JSON"},
        FileFault{"config.json", std::string("{}\0{}", 5), ": holds a NUL byte"},
        FileFault{"config.json", std::string(1 << 20, '['), ": nested deeper than 64 levels"},
        FileFault{"config.json", "{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}",
                  ": nested deeper than 64 levels"},
        FileFault{"config.json", std::string(5 << 20, ' '), ": above the limit of 4194304 bytes"},
        FileFault{"config.json", "{\"model_type\":\"" + std::string(1000, 'b') + "\"}",
                  ": model_type is longer than 256 bytes"},
        FileFault{"modules.json", "{}", ": not a list of at most 16 modules"},
        FileFault{"modules.json", "[1]", ": module 0 is not an object"},
        FileFault{"modules.json", "[{}]",
                  ": module 0: type must be a Transformer, Pooling, Dense, Normalize or Dropout of "
                  "sentence_transformers, is \"\""},
        FileFault{"modules.json", R"([{"type": "sentence_transformers.models.LSTM", "path": "2_LSTM"}])",
                  ": module 0: type must be a Transformer, Pooling, Dense, Normalize or Dropout of "
                  "sentence_transformers, is \"sentence_transformers.models.LSTM\""},
        FileFault{"modules.json", R"([{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}])",
                  ": module 0: type Dense is supported after Pooling and before Normalize only"},
        FileFault{"modules.json", R"([{"type": "a.Pooling", "path": "p"}, {"type": "a.Dense", "path": "../2_Dense"}])",
                  ": module 1: path of the Dense must name a folder inside the model's"},
        FileFault{"modules.json", R"([{"type": "a.Pooling", "path": "../../etc"}])",
                  ": module 0: path of the Pooling must name"},
        FileFault{"modules.json", R"([{"type": "a.Pooling", "path": "/etc"}])",
                  ": module 0: path of the Pooling must name"},
        FileFault{"modules.json", R"([{"type": "a.Transformer", "path": "0_Transformer"}])",
                  ": module 0: path of the Transformer must be empty"},
        FileFault{"1_Pooling/config.json", "[]", ": not a JSON object"},
        FileFault{"1_Pooling/config.json", "{}", ": pooling_mode_* are all false or absent"},
        FileFault{
            "1_Pooling/config.json", R"({"pooling_mode_mean_sqrt_len_tokens": true})",
            ": pooling_mode_mean_sqrt_len_tokens asks for the pooling \"mean_sqrt_len_tokens\"; mean, cls and max are"},
        FileFault{"1_Pooling/config.json", R"({"pooling_mode": "lasttoken"})",
                  ": pooling_mode asks for the pooling \"lasttoken\""},
        FileFault{
            "1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true})",
            ": pooling_mode_cls_token and pooling_mode_mean_tokens are true, and joined poolings are not supported"},
        FileFault{"1_Pooling/config.json", R"({"pooling_mode_cls_token": 1})",
                  ": pooling_mode_cls_token must be true or false, is 1"},
        FileFault{"1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "word_embedding_dimension": 768})",
                  ": word_embedding_dimension is 768, the model's is 384"},
        FileFault{"1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "include_prompt": false})",
                  ": include_prompt is false, and prompts cannot be left out of the pooling"},
        FileFault{"sentence_bert_config.json", R"({"do_lower_case": 1})",
                  ": do_lower_case must be true or false, is 1"},
        FileFault{"config_sentence_transformers.json", R"({"prompts": []})",
                  ": prompts must be an object of at most 256 prompts"},
        FileFault{"config_sentence_transformers.json", R"({"prompts": {"query": 1}})",
                  ": prompts must hold strings of at most 4096 bytes, holds 1"},
        FileFault{"config_sentence_transformers.json", R"({"prompts": {"query": "q"}, "default_prompt_name": "doc"})",
                  ": default_prompt_name is \"doc\", which is none of the prompts"},
        FileFault{"sentence_bert_config.json", "[]", ": not a JSON object"},
        FileFault{"sentence_bert_config.json", R"({"max_seq_length": 0})",
                  ": max_seq_length must be an integer from 1 to 1048576, is 0"},
        FileFault{"sentence_bert_config.json", R"({"max_seq_length": "256"})",
                  ": max_seq_length must be an integer from 1 to 1048576, is \"256\""}),
    [](const auto& info) { return std::to_string(info.index); });

TEST_F(ConfigTest, AFolderInPlaceOfAFileIsNamed) {
  WriteSentenceTransformer();
  std::filesystem::remove(folder_ + "/modules.json");
  std::filesystem::create_directory(folder_ + "/modules.json");
  EXPECT_EQ(Fault(), "modules.json: not a regular file");
}

}  // namespace
}  // namespace attnd
