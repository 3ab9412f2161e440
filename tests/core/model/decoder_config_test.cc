// What config.json says of decoders, and what is refused of it.
#include "core/model/decoder_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/temp_files.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

class DecoderConfigTest : public testing::Test {
 protected:
  // A small model of any family but gpt2 with `more` over it.
  absl::StatusOr<DecoderConfig> Load(const std::string& model_type, const Json& more) const {
    Json config = {{"model_type", model_type},      {"hidden_size", 64},       {"num_hidden_layers", 2},
                   {"num_attention_heads", 4},      {"intermediate_size", 96}, {"vocab_size", 100},
                   {"max_position_embeddings", 512}};
    config.update(more);
    return Load(config);
  }
  absl::StatusOr<DecoderConfig> Load(const Json& config) const {
    std::ofstream(folder_ / "config.json") << config;
    return LoadDecoderConfig(folder_.path());
  }
  std::string FaultOf(const std::string& model_type, const Json& more) const {
    return std::string(Load(model_type, more).status().message());
  }

  const TempFolder folder_{"decoder_config"};
};

TEST_F(DecoderConfigTest, JoinedHeadsAreOfAllThree) {
  EXPECT_TRUE(Load("gpt_neox", {{"num_key_value_heads", 4}}).ok());
  EXPECT_TRUE(Load("llama", {{"num_key_value_heads", 2}}).ok());
  EXPECT_THAT(FaultOf("gpt_neox", {{"num_key_value_heads", 2}}),
              HasSubstr("config.json: num_key_value_heads is 2, gpt_neox has one for each of num_attention_heads 4"));
}

TEST_F(DecoderConfigTest, TablesOfRopeAreBounded) {
  const int most = (1 << 27) / 16;
  EXPECT_TRUE(Load("llama", {{"max_position_embeddings", most}}).ok());
  EXPECT_THAT(FaultOf("llama", {{"max_position_embeddings", most + 1}}),
              HasSubstr("config.json: max_position_embeddings (GGUF: context_length) is 8388609, times RoPE over 16 "
                        "above 134217728"));
  EXPECT_TRUE(Load("gpt_neox", {{"max_position_embeddings", 2 * most}, {"rotary_pct", 0.5}}).ok());
  EXPECT_FALSE(Load("gemma3_text", {{"max_position_embeddings", most + 1}}).ok());
}

TEST_F(DecoderConfigTest, ScoresThatAreNotScaledAreRefused) {
  Json gpt2 = {{"model_type", "gpt2"}, {"n_embd", 64},      {"n_layer", 2},
               {"n_head", 4},          {"vocab_size", 100}, {"n_positions", 512}};
  EXPECT_TRUE(Load(gpt2).ok()) << Load(gpt2).status();
  gpt2["scale_attn_weights"] = true;
  EXPECT_TRUE(Load(gpt2).ok());
  gpt2["scale_attn_weights"] = false;
  EXPECT_EQ(Load(gpt2).status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(Load(gpt2).status().message(), HasSubstr("config.json: scale_attn_weights false is not supported"));
}

TEST_F(DecoderConfigTest, WindowsBeginAfterTheFirstLayers) {
  const auto windows = [&](Json more) {
    more.update({{"sliding_window", 100}, {"use_sliding_window", true}, {"num_hidden_layers", 30}});
    return Load("qwen2", more).value().windows;
  };
  std::vector<int> expected(30, 0);
  expected[28] = expected[29] = 100;
  EXPECT_EQ(windows({}), expected);  // transformers' default is 28
  expected[27] = 100;
  EXPECT_EQ(windows({{"max_window_layers", 27}}), expected);
  EXPECT_EQ(Load("mistral", {{"sliding_window", 100}}).value().windows, std::vector<int>(2, 100));
}

TEST_F(DecoderConfigTest, LayerTypesOfManyLayers) {
  const int layers = 80;
  const auto config = Load("llama", {{"sliding_window", 100},
                                     {"num_hidden_layers", layers},
                                     {"layer_types", std::vector<std::string>(layers, "sliding_attention")}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->windows, std::vector<int>(layers, 100));
}

}  // namespace
}  // namespace attnd
