// What sentence-transformers' files say of a decoder.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/match.h"
#include "core/model/config.h"
#include "core/model/decoder_model.h"
#include "tests/golden/dense_module.h"
#include "tests/golden/gguf_builder.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

constexpr char kModules[] = R"([
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
  {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])";

constexpr char kModulesWithDense[] = R"([
  {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
  {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}])";

class DecoderEmbeddingTest : public testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::filesystem::remove(folder_ / name);  // it may be a link into tests/golden
    std::ofstream(folder_ / name) << text;
  }
  absl::StatusOr<EmbeddingConfig> Load() const { return LoadDecoderEmbedding(folder_.path(), 96, 512); }
  void ExpectFault(absl::StatusCode code, const std::string& text) const {
    const auto config = Load();
    EXPECT_EQ(config.status().code(), code);
    EXPECT_TRUE(absl::StrContains(config.status().message(), text)) << config.status();
  }

  const TempFolder folder_{"decoder_embedding"};
};

TEST_F(DecoderEmbeddingTest, WithoutModulesNothingChanges) {
  Write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})");
  Write("tokenizer_config.json", R"({"model_max_length": 64})");
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->pooling.last_token);
  EXPECT_FALSE(config->pooling.normalize);
  EXPECT_EQ(config->embedding_size, 96);
  EXPECT_EQ(config->max_tokens, 512);
}

TEST_F(DecoderEmbeddingTest, ModulesSayHow) {
  Write("modules.json", kModules);
  Write("1_Pooling/config.json", R"({"word_embedding_dimension": 96, "pooling_mode_lasttoken": true,
                                     "pooling_mode_mean_tokens": false, "include_prompt": true})");
  Write("sentence_bert_config.json", R"({"max_seq_length": 100})");
  Write("config_sentence_transformers.json",
        R"({"prompts": {"query": "Query:", "document": ""}, "default_prompt_name": null})");
  auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->pooling.last_token);
  EXPECT_TRUE(config->pooling.normalize);
  EXPECT_EQ(config->max_tokens, 100);
  EXPECT_EQ(config->prompts.at("query"), "Query:");
  EXPECT_EQ(config->default_prompt_name, "");
  Write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})");
  config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->pooling.last_token);
  EXPECT_EQ(config->pooling.mode, PoolingMode::kMean);
}

TEST_F(DecoderEmbeddingTest, WhatCannotBeIsRefused) {
  Write("modules.json", kModules);
  ExpectFault(absl::StatusCode::kNotFound, "1_Pooling/config.json");
  Write("1_Pooling/config.json", R"({"pooling_mode_cls_token": true})");
  ExpectFault(absl::StatusCode::kInvalidArgument, "\"cls_token\"; lasttoken and mean are supported of a decoder");
  Write("1_Pooling/config.json", R"({"pooling_mode": "lasttoken", "word_embedding_dimension": 97})");
  ExpectFault(absl::StatusCode::kInvalidArgument, "is 97, the model's is 96");
  Write("1_Pooling/config.json", R"({"pooling_mode": "lasttoken"})");
  EXPECT_TRUE(Load().ok());
}

TEST_F(DecoderEmbeddingTest, DenseModules) {
  Write("modules.json", kModulesWithDense);
  Write("1_Pooling/config.json", R"({"pooling_mode": "mean"})");
  ExpectFault(absl::StatusCode::kNotFound, "2_Dense/config.json");
  Write("2_Dense/config.json", R"({"in_features": 64, "out_features": 40})");
  ExpectFault(absl::StatusCode::kInvalidArgument, "in_features is 64, the embedding before it has 96 numbers");
  Write("2_Dense/config.json", R"({"in_features": 96, "out_features": 40})");
  const auto config = Load();
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->dense.size(), 1u);
  EXPECT_EQ(config->dense[0].path, "2_Dense");
  EXPECT_EQ(config->dense[0].activation, Activation::kTanh);
  EXPECT_EQ(config->embedding_size, 40);
}

TEST_F(DecoderEmbeddingTest, DecodersAreLoadedWithIt) {
  folder_.LinkFilesOf(ATTND_SOURCE_DIR "/tests/golden/qwen3");
  Write("modules.json", kModules);
  Write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true})");
  auto model = DecoderModel::Load(folder_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_FALSE((*model)->embedding.pooling.last_token);
  EXPECT_TRUE((*model)->embedding.pooling.normalize);
  Write("sentence_bert_config.json", R"({"do_lower_case": true})");
  model = DecoderModel::Load(folder_.path());
  EXPECT_TRUE(absl::StrContains(model.status().message(), "does not lower-case")) << model.status();
}

TEST_F(DecoderEmbeddingTest, GgufFilesSayItByTheirPoolingType) {
  const auto load = [&](uint32_t pooling) {
    Write("x.gguf", golden::ToGguf("qwen3", [&](golden::GgufBuilder& builder) {
            builder.AddText("tokenizer.ggml.pre", "qwen2");
            builder.AddInt("qwen3.pooling_type", pooling);
          }));
    return DecoderModel::Load(folder_ / "x.gguf");
  };
  auto model = load(1);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_FALSE((*model)->embedding.pooling.last_token);
  EXPECT_EQ((*model)->embedding.embedding_size, 96);
  EXPECT_TRUE((*model)->dense.empty());
  model = load(4);
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(model.status().message(), "x.gguf: 'qwen3.pooling_type' is 4 (rank)"))
      << model.status();
}

// Some embedding models let every token see all: a causal pass would give other vectors, and nobody would know.
TEST_F(DecoderEmbeddingTest, WhatIsNotCausalIsRefused) {
  for (const char* key : {"\"is_causal\": false", "\"use_bidirectional_attention\": true"}) {
    Write("config.json", std::string(R"({"model_type": "qwen3", )") + key + "}");
    const auto model = DecoderModel::Load(folder_.path());
    EXPECT_EQ(model.status().code(), absl::StatusCode::kUnimplemented);
    EXPECT_TRUE(absl::StrContains(model.status().message(), "not supported")) << model.status();
  }
}

TEST_F(DecoderEmbeddingTest, DenseWeightsAreLoadedWithIt) {
  folder_.LinkFilesOf(ATTND_SOURCE_DIR "/tests/golden/qwen3");
  Write("modules.json", kModulesWithDense);
  Write("1_Pooling/config.json", R"({"pooling_mode": "lasttoken"})");
  Write("2_Dense/config.json", R"({"in_features": 96, "out_features": 40})");
  auto model = DecoderModel::Load(folder_.path());
  EXPECT_EQ(model.status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(absl::StrContains(model.status().message(), "2_Dense/model.safetensors")) << model.status();
  golden::DenseModule(96, 40, /*tanh=*/true, 1).Write(folder_ / "2_Dense");
  model = DecoderModel::Load(folder_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->dense.outputs(), 40);
  EXPECT_GT((*model)->weight_bytes(), (*model)->decoder->weight_bytes());
}

}  // namespace
}  // namespace attnd
