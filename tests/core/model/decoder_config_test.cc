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

}  // namespace
}  // namespace attnd
