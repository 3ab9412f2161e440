// Decoders out of GGUF files: each family converted as llama.cpp does, against the same reference as its Hugging Face
// form.
#include "core/model/gguf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/golden/decoder_golden.h"
#include "tests/golden/gguf_builder.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<std::unique_ptr<GgufFile>> Parse(const std::string& file) {
  return GgufFile::Parse(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(file.data()), file.size()), "x.gguf");
}

class GgufModelTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GgufModelTest, LogitsAndAttentionsAreThoseOfTheOriginal) {
  const std::string bytes = golden::ToGguf(GetParam());
  auto file = Parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status();
  auto config = LoadGgufConfig(**file);
  ASSERT_TRUE(config.ok()) << config.status();
  auto decoder = Decoder::Make(*config, **file, CheckpointNames::kGguf);
  ASSERT_TRUE(decoder.ok()) << decoder.status();
  const golden::Cases cases(golden::Folder(GetParam()) + "/golden");
  WorkTeam team(2);
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::vector<int32_t> ids = cases.Ints(i, "ids");
    golden::KeepMaps keep(*config, static_cast<int>(ids.size()));
    golden::Growing sequence(**decoder, KvType::kF32, 128);
    EXPECT_LT(golden::LargestDifference(sequence.Step(team, ids, 0, &keep), cases.Floats(i, "logits")), 3e-4) << i;
    EXPECT_LT(golden::LargestDifference(keep.maps, cases.Floats(i, "attentions")), 3e-4) << i;
  }
}

// mistral's files say llama there, without a window: llama.cpp has none for it.
INSTANTIATE_TEST_SUITE_P(Families, GgufModelTest,
                         ::testing::Values("gpt2", "llama", "qwen2", "qwen3", "phi3", "gemma3", "gpt_neox"),
                         [](const auto& info) { return std::string(info.param); });

// A file of metadata and one tensor.
std::string Small(const std::function<void(golden::GgufBuilder&)>& add) {
  golden::GgufBuilder builder;
  add(builder);
  builder.AddTensor("token_embd.weight", {2, 4}, std::vector<float>(8));
  return builder.Build();
}

void AddOneToken(golden::GgufBuilder& builder) {
  using golden::GgufBuilder;
  builder.Add("tokenizer.ggml.tokens", 9,
              GgufBuilder::Raw(uint32_t{8}) + GgufBuilder::Raw(uint64_t{1}) + GgufBuilder::Text("a"));
}

TEST(GgufConfigTest, FaultsAreNamed) {
  const auto message = [](const std::function<void(golden::GgufBuilder&)>& add) {
    const std::string bytes = Small(add);
    auto file = Parse(bytes);
    EXPECT_TRUE(file.ok()) << file.status();
    return std::string(LoadGgufConfig(**file).status().message());
  };
  const auto complete = [](golden::GgufBuilder& b, uint32_t heads, uint32_t key_heads) {
    b.AddText("general.architecture", "llama");
    for (const char* key : {"block_count", "context_length", "embedding_length", "feed_forward_length"}) {
      b.AddInt(std::string("llama.") + key, 4);
    }
    b.AddInt("llama.attention.head_count", heads);
    b.AddInt("llama.attention.head_count_kv", key_heads);
  };
  EXPECT_THAT(message([](auto&) {}), HasSubstr("x.gguf: 'general.architecture' is missing"));
  EXPECT_THAT(message([](auto& b) { b.AddText("general.architecture", "mamba"); }),
              HasSubstr("general.architecture 'mamba' is not known; known are: llama"));
  EXPECT_THAT(message([](auto& b) { b.AddText("general.architecture", "llama"); }),
              HasSubstr("'llama.block_count' is missing"));
  EXPECT_THAT(message([&](auto& b) { complete(b, 2, 2); }), HasSubstr("'tokenizer.ggml.tokens' is missing"));
  EXPECT_THAT(message([&](auto& b) { complete(b, 1 << 20, 2); }), HasSubstr("head_count' is 1048576, must be from 1"));
  const auto with_tokens = [&](uint32_t heads, uint32_t key_heads) {
    return message([&](auto& b) {
      complete(b, heads, key_heads);
      AddOneToken(b);
    });
  };
  EXPECT_EQ(with_tokens(2, 2), "");
  EXPECT_THAT(message([&](auto& b) {
                complete(b, 2, 2);
                b.Add("llama.attention.causal", 7, golden::GgufBuilder::Raw(false));
              }),
              HasSubstr("x.gguf: 'llama.attention.causal' false is not supported"));
  EXPECT_THAT(with_tokens(2, 3), HasSubstr("3 key heads do not divide 2 heads"));
  EXPECT_THAT(with_tokens(4, 4), HasSubstr("RoPE over 1 of 1 elements"));
}

// As the converter writes Phi-3's long contexts: no type, no factor, two tensors.
TEST(GgufConfigTest, LongFactorsAreOfTheShortContextAndScaleAttention) {
  const auto load = [](bool with_long, float attention_factor) {
    const std::string bytes = golden::ToGguf("phi3", [&](golden::GgufBuilder& b) {
      const int pairs = LoadDecoderConfig(golden::Folder("phi3"))->rope.rotary_dim / 2;
      b.AddInt("phi3.rope.scaling.original_context_length", 64);
      if (attention_factor > 0) b.AddFloat("phi3.rope.scaling.attn_factor", attention_factor);
      if (with_long) b.AddTensor("rope_factors_long.weight", {pairs}, std::vector<float>(pairs, 8.0f));
      b.AddTensor("rope_factors_short.weight", {pairs}, std::vector<float>(pairs, 1.5f));
    });
    return LoadGgufConfig(**Parse(bytes)).value();
  };
  const DecoderConfig config = load(true, 1.19f);
  EXPECT_EQ(config.rope.scaling.kind, RopeScalingKind::kFactors);
  EXPECT_EQ(config.rope.scaling.factors.front(), 1.5);
  EXPECT_FLOAT_EQ(static_cast<float>(config.rope.scaling.attention_factor), 1.19f);
  EXPECT_EQ(config.max_tokens, 64);
  EXPECT_EQ(load(false, 0).max_tokens, LoadDecoderConfig(golden::Folder("phi3"))->max_tokens);
  // 1, as cosines of angle 0 are.
  const auto first = [](const DecoderConfig& c) {
    std::vector<float> head(c.rope.rotary_dim, 1.0f);
    const int32_t position = 0;
    RopeTable(c.rope, 1).Rotate(RopeLayout::kHalves, &position, 1, 1, c.rope.rotary_dim, c.rope.rotary_dim,
                                head.data());
    return head.front();
  };
  EXPECT_FLOAT_EQ(first(config), 1.19f);
  EXPECT_FLOAT_EQ(first(load(true, 0)), 1.0f);
}

TEST(GgufConfigTest, ScoresOfGemma3AreScaledByHeads) {
  const auto scale = [](uint32_t layers, uint32_t hidden, uint32_t heads, uint32_t head_dim) {
    const std::string bytes = Small([&](auto& b) {
      b.AddText("general.architecture", "gemma3");
      b.AddInt("gemma3.block_count", layers);
      b.AddInt("gemma3.context_length", 128);
      b.AddInt("gemma3.embedding_length", hidden);
      b.AddInt("gemma3.feed_forward_length", 64);
      b.AddInt("gemma3.attention.head_count", heads);
      b.AddInt("gemma3.attention.key_length", head_dim);
      AddOneToken(b);
    });
    return LoadGgufConfig(**Parse(bytes)).value().attention_scale;
  };
  EXPECT_FLOAT_EQ(scale(62, 5376, 32, 128), 1 / std::sqrt(168.0f));  // 27B
  EXPECT_FLOAT_EQ(scale(48, 3840, 16, 256), 1 / std::sqrt(256.0f));  // 12B
}

TEST(GgufConfigTest, PoolingTypes) {
  const auto load = [](int pooling) -> absl::StatusOr<EmbeddingConfig> {
    const std::string bytes = Small([&](auto& b) {
      b.AddText("general.architecture", "qwen3");
      if (pooling >= 0) b.AddInt("qwen3.pooling_type", pooling);
    });
    DecoderConfig decoder;
    decoder.hidden_size = 96;
    decoder.max_tokens = 512;
    return LoadGgufEmbedding(**Parse(bytes), decoder);
  };
  for (const int as_last : {-1, 0, 3}) {
    const auto config = load(as_last);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(config->pooling.last_token) << as_last;
    EXPECT_FALSE(config->pooling.normalize);
    EXPECT_EQ(config->embedding_size, 96);
    EXPECT_EQ(config->max_tokens, 512);
  }
  const auto mean = load(1);
  ASSERT_TRUE(mean.ok()) << mean.status();
  EXPECT_FALSE(mean->pooling.last_token);
  EXPECT_EQ(mean->pooling.mode, PoolingMode::kMean);
  EXPECT_EQ(load(2).status().message(),
            "x.gguf: 'qwen3.pooling_type' is 2 (cls), must be 0 (none), 1 (mean) or 3 (last) of a decoder");
  EXPECT_THAT(load(4).status().message(), HasSubstr("is 4 (rank), must be"));
  EXPECT_THAT(load(5).status().message(), HasSubstr("'qwen3.pooling_type' is 5, must be from 0 to 4"));
}

TEST(GgufConfigTest, MissingTensorsAreNamed) {
  const std::string whole = golden::ToGguf("llama");
  auto file = Parse(whole);
  DecoderConfig config = LoadGgufConfig(**file).value();
  config.layers += 1;
  config.windows.push_back(0);
  EXPECT_THAT(Decoder::Make(config, **file, CheckpointNames::kGguf).status().message(),
              HasSubstr("x.gguf: tensor 'blk.3.attn_norm.weight' is missing"));
  config.layers -= 1;
  config.hidden_size *= 2;
  EXPECT_THAT(Decoder::Make(config, **file, CheckpointNames::kGguf).status().message(),
              HasSubstr("tensor 'token_embd.weight' has shape [800, 96], expected [800, 192]"));
}

TEST(GgufConfigTest, BiasesOfSomePartsAreRefused) {
  const auto fault = [](const char* name, int64_t rows) {
    const std::string bytes = golden::ToGguf(
        "llama", [&](golden::GgufBuilder& b) { b.AddTensor(name, {rows}, std::vector<float>(rows, 1.0f)); });
    const auto file = Parse(bytes).value();
    return std::string(Decoder::Make(LoadGgufConfig(*file).value(), *file, CheckpointNames::kGguf).status().message());
  };
  EXPECT_EQ(fault("blk.1.ffn_up.bias", 224), "x.gguf: layer 1 has a bias for some of gate and up only");
  EXPECT_EQ(fault("blk.0.attn_k.bias", 48), "x.gguf: layer 0 has a bias for some of query, key and value only");
}

}  // namespace
}  // namespace attnd
