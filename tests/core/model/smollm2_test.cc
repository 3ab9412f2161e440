// SmolLM2-135M-Instruct from its GGUF file against the reference outputs of Hugging Face transformers on the same
// weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/model/gguf_model.h"
#include "tests/golden/decoder_golden.h"

namespace attnd {
namespace {

// Loaded once: it takes a while.
struct SmolLm2 {
  SmolLm2() : cases(golden::Folder("real/smollm2")) {
    auto opened = GgufFile::Open(golden::SmolLm2File());
    if (!opened.ok()) throw std::runtime_error(opened.status().ToString());
    file = *std::move(opened);
    tokenizer = LoadGgufTokenizer(*file).value();
    chat = LoadGgufChatTemplate(*file).value();
    decoder = Decoder::Make(LoadGgufConfig(*file).value(), *file, CheckpointNames::kGguf).value();
  }
  golden::Cases cases;
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<ChatTemplate> chat;
  std::unique_ptr<Decoder> decoder;
};

class SmolLm2Test : public ::testing::Test {
 protected:
  static SmolLm2& Get() {
    static auto* const smollm2 = new SmolLm2();
    return *smollm2;
  }
  WorkTeam team{2};
};

TEST_F(SmolLm2Test, ConfigurationIsWhatTheFileSays) {
  const DecoderConfig& config = Get().decoder->config();
  EXPECT_EQ(config.model_type, "llama");
  EXPECT_EQ(config.layers, 30);
  EXPECT_EQ(config.heads, 9);
  EXPECT_EQ(config.key_heads, 3);
  EXPECT_EQ(config.head_dim, 64);
  EXPECT_EQ(config.max_tokens, 8192);
  EXPECT_EQ(config.vocab_size, 49152);
  EXPECT_EQ(config.rope.theta, 100000);
  EXPECT_THAT(config.eos_ids, ::testing::ElementsAre(2));
}

TEST_F(SmolLm2Test, TokensAndTextsAreThoseOfTheReference) {
  for (size_t i = 0; i < Get().cases.size(); ++i) {
    auto encoding = Get().tokenizer->Encode(Get().cases.Text(i), {});
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    EXPECT_EQ(encoding->ids, Get().cases.Ints(i, "ids")) << i;
    EXPECT_EQ(Get().tokenizer->Decode(Get().cases.Ints(i, "greedy"), false).value(),
              Get().cases.json.at("cases").at(i).at("greedy_text").get<std::string>());
  }
}

TEST_F(SmolLm2Test, ChatTemplateIsTheFiles) {
  const ChatMessage message = {"user", "What is gravity?"};
  EXPECT_EQ(Get().chat->Render({&message, 1}, true).value(),
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(SmolLm2Test, PromptsAndAttentionsAreWithin1e3) {
  const int vocabulary = Get().decoder->config().vocab_size;
  for (size_t i = 0; i < Get().cases.size(); ++i) {
    const std::vector<int32_t> ids = Get().cases.Ints(i, "ids");
    const int tokens = static_cast<int>(ids.size());
    const bool maps = tokens <= 16;  // the reference holds maps of short texts only
    golden::KeepMaps keep(Get().decoder->config(), maps ? tokens : 0);
    golden::Growing sequence(*Get().decoder, KvType::kF32, 256);
    const std::vector<float> logits = sequence.Step(team, ids, 0, maps ? &keep : nullptr);
    const std::vector<float> expected = Get().cases.Floats(i, "prompt_logprobs");
    for (int t = 0; t + 1 < tokens; ++t) {
      EXPECT_NEAR(golden::LogProbability(logits.data() + size_t(t) * vocabulary, vocabulary, ids[t + 1]), expected[t],
                  1e-3);
    }
    EXPECT_LT(
        golden::LargestDifference({logits.end() - vocabulary, logits.end()}, Get().cases.Floats(i, "last_logits")),
        1e-3);
    if (!maps) continue;
    EXPECT_LT(golden::LargestDifference(keep.maps, Get().cases.Floats(i, "attentions")), 3e-4) << i;
  }
}

TEST_F(SmolLm2Test, FortyEightGreedyTokensAreEqual) {
  for (size_t i = 0; i < Get().cases.size(); ++i) {
    const std::vector<int32_t> ids = Get().cases.Ints(i, "ids");
    golden::Growing sequence(*Get().decoder, KvType::kF32, 256);
    std::vector<float> logits = sequence.Step(team, ids, static_cast<int>(ids.size()) - 1);
    std::vector<int32_t> greedy;
    while (greedy.size() < 48) {
      for (const int32_t end : Get().decoder->config().eos_ids) logits[end] = -INFINITY;  // told to go on
      greedy.push_back(golden::Greedy(logits));
      logits = sequence.Step(team, {&greedy.back(), 1}, 0);
    }
    EXPECT_EQ(greedy, Get().cases.Ints(i, "greedy")) << i;
  }
}

}  // namespace
}  // namespace attnd
