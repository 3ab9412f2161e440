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

// Mean Kullback-Leibler divergence of the next-token distribution from that in f32, over all tokens of real texts.
double Divergence(const Decoder& reference, const Decoder& other, const Tokenizer& tokenizer, WorkTeam& team) {
  const golden::Cases texts(golden::Folder("real/minilm"));
  const int vocabulary = reference.config().vocab_size;
  double sum = 0;
  int tokens = 0;
  // The first fifteen are no prose: a word 400 times, lone symbols.
  for (size_t i = 15; i < texts.size(); i += 2) {
    std::vector<int32_t> ids = tokenizer.Encode(texts.Text(i), {}).value().ids;
    ids.resize(std::min<size_t>(ids.size(), 64));
    const std::vector<float> p = golden::Growing(reference, KvType::kF32, 64).Step(team, ids, 0);
    const std::vector<float> q = golden::Growing(other, KvType::kF32, 64).Step(team, ids, 0);
    for (size_t t = 0; t < ids.size(); ++t, ++tokens) {
      const float *a = p.data() + t * vocabulary, *b = q.data() + t * vocabulary;
      const double log_a = -golden::LogProbability(a, vocabulary, 0) + a[0];
      const double log_b = -golden::LogProbability(b, vocabulary, 0) + b[0];
      for (int v = 0; v < vocabulary; ++v) sum += std::exp(a[v] - log_a) * ((a[v] - log_a) - (b[v] - log_b));
    }
  }
  EXPECT_GT(tokens, 300);
  return sum / tokens;
}

TEST_F(SmolLm2Test, NarrowWeightsStayClose) {
  const auto in = [&](Precision precision) {
    return Decoder::Make(LoadGgufConfig(*Get().file).value(), *Get().file, CheckpointNames::kGguf, precision).value();
  };
  const double bf16 = Divergence(*Get().decoder, *in(Precision::kBf16), *Get().tokenizer, team);
  EXPECT_LE(bf16, 0.001);
  const double int8 = Divergence(*Get().decoder, *in(Precision::kInt8), *Get().tokenizer, team);
  EXPECT_LE(int8, 0.02);
  RecordProperty("bf16", std::to_string(bf16));
  RecordProperty("int8", std::to_string(int8));
}

}  // namespace
}  // namespace attnd
