// Every decoder family against the reference outputs of Hugging Face transformers (tests/golden/README.md).
#include "tests/golden/decoder_golden.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace attnd {
namespace {

using golden::Greedy;
using golden::Growing;
using golden::LargestDifference;

class DecoderGoldenTest : public ::testing::TestWithParam<const char*> {
 protected:
  DecoderGoldenTest()
      : folder(golden::Folder(GetParam())), decoder(golden::LoadDecoder(folder)), cases(folder + "/golden"), team(2) {}
  Growing Start() const { return Growing(*decoder, KvType::kF32, 256); }

  const std::string folder;
  const std::unique_ptr<Decoder> decoder;
  const golden::Cases cases;
  WorkTeam team;
};

TEST_P(DecoderGoldenTest, LogitsAndAttentionsAreWithin3e4) {
  ASSERT_EQ(cases.size(), 6u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::vector<int32_t> ids = cases.Ints(i, "ids");
    golden::KeepMaps keep(decoder->config(), static_cast<int>(ids.size()));
    EXPECT_LT(LargestDifference(Start().Step(team, ids, 0, &keep), cases.Floats(i, "logits")), 3e-4) << i;
    EXPECT_LT(LargestDifference(keep.maps, cases.Floats(i, "attentions")), 3e-4) << i;
  }
}

TEST_P(DecoderGoldenTest, HiddenStatesAreWithin3e4) {
  const std::vector<int32_t> ids = cases.Ints(2, "ids");
  Growing sequence = Start();
  DecoderBatch batch;
  batch.Add({.ids = ids, .table = sequence.table, .logits_from = static_cast<int>(ids.size()), .hidden = true});
  WorkTeam::Session session(team);
  const auto go_on = [] { return true; };
  auto output = decoder->Forward(batch, sequence.pages, session, sequence.workspace, go_on);
  ASSERT_TRUE(output.ok()) << output.status();
  const size_t size = ids.size() * decoder->config().hidden_size;
  EXPECT_LT(LargestDifference({output->hidden, output->hidden + size}, cases.Floats(2, "hidden")), 3e-4);
}

TEST_P(DecoderGoldenTest, GreedyTokensAreThoseOfTheReference) {
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::vector<int32_t> expected = cases.Ints(i, "greedy");
    const std::vector<float> margins = cases.Floats(i, "greedy_margin");
    const std::vector<float> logprobs = cases.Floats(i, "greedy_logprobs");
    const int prompt = cases.json.at("cases").at(i).at("prompt_tokens");
    Growing sequence = Start();
    std::vector<float> logits = sequence.Step(team, absl::MakeConstSpan(expected).subspan(0, prompt), prompt - 1);
    for (size_t t = 0; t < margins.size(); ++t) {
      const int32_t token = expected[prompt + t];
      EXPECT_NEAR(golden::LogProbability(logits.data(), static_cast<int>(logits.size()), token), logprobs[t], 5e-4);
      logits[decoder->config().eos_ids.front()] = -INFINITY;  // the reference was told to go on
      if (margins[t] > 0.01f) {
        ASSERT_EQ(Greedy(logits), token) << i << " token " << t;
      }
      logits = sequence.Step(team, {&token, 1}, 0);
    }
  }
}

TEST_P(DecoderGoldenTest, ChunkedIsWhole) {
  const std::vector<int32_t> ids = cases.Ints(1, "ids");
  const std::vector<float> expected = cases.Floats(1, "logits");
  const int tokens = static_cast<int>(ids.size());
  for (const int size : {1, 3, 16, 17}) {
    Growing sequence = Start();
    golden::KeepMaps keep(decoder->config(), tokens);
    std::vector<float> logits;
    for (int begin = 0; begin < tokens; begin += size) {
      const auto chunk = absl::MakeConstSpan(ids).subspan(begin, size);
      const std::vector<float> more = sequence.Step(team, chunk, 0, &keep);
      logits.insert(logits.end(), more.begin(), more.end());
    }
    EXPECT_LT(LargestDifference(logits, expected), 3e-4) << size;
    EXPECT_LT(LargestDifference(keep.maps, cases.Floats(1, "attentions")), 3e-4) << size;
  }
}

// Chunks of prompts and single tokens of all texts in the same steps, over pages of one pool.
TEST_P(DecoderGoldenTest, BatchedIsSingle) {
  const int count = static_cast<int>(cases.size());
  constexpr int kPagesEach = 10;
  KvPages pages(decoder->kv_shape(KvType::kF32), count * kPagesEach);
  std::vector<std::vector<int32_t>> ids(count), tables(count);
  std::vector<int> past(count, 0);
  for (int i = 0; i < count; ++i) {
    ids[i] = cases.Ints(i, "ids");
    for (int p = 0; p < kPagesEach; ++p) tables[i].push_back(p * count + i);
  }
  Decoder::Workspace workspace;
  std::mt19937 random(3);
  bool more = true;
  while (more) {
    more = false;
    DecoderBatch batch;
    std::vector<int> of;
    for (int i = 0; i < count; ++i) {
      const int left = static_cast<int>(ids[i].size()) - past[i];
      const int rows = std::min(left, std::uniform_int_distribution<int>(0, i % 2 == 0 ? 1 : 40)(random));
      more |= left > 0;
      if (rows == 0) continue;
      const int logits_from = i % 3 == 0 ? 0 : rows - 1;
      batch.Add({.ids = absl::MakeConstSpan(ids[i]).subspan(past[i], rows),
                 .past = past[i],
                 .table = tables[i],
                 .logits_from = logits_from});
      of.push_back(i);
    }
    if (of.empty()) continue;
    WorkTeam::Session session(team);
    const auto go_on = [] { return true; };
    auto output = decoder->Forward(batch, pages, session, workspace, go_on);
    ASSERT_TRUE(output.ok()) << output.status();
    const float* logits = output->logits;
    const int vocabulary = decoder->config().vocab_size;
    for (size_t k = 0; k < of.size(); ++k) {
      const int i = of[k], rows = static_cast<int>(batch.chunks[k].ids.size());
      const std::vector<float> expected = cases.Floats(i, "logits");
      for (int r = batch.chunks[k].logits_from; r < rows; ++r, logits += vocabulary) {
        const float* want = expected.data() + size_t(past[i] + r) * vocabulary;
        ASSERT_LT(LargestDifference({logits, logits + vocabulary}, {want, want + vocabulary}), 3e-4) << i << " " << r;
      }
      past[i] += rows;
    }
  }
}

TEST_P(DecoderGoldenTest, NarrowKeysStayClose) {
  const std::vector<int32_t> ids = cases.Ints(0, "ids");
  const std::vector<float> expected = cases.Floats(0, "logits");
  const auto logits = [&](KvType type) { return Growing(*decoder, type, 256).Step(team, ids, 0); };
  EXPECT_LT(LargestDifference(logits(KvType::kBf16), expected), 0.3);
  EXPECT_LT(LargestDifference(logits(KvType::kInt8), expected), 1.0);
}

TEST_P(DecoderGoldenTest, GivesUpBetweenLayers) {
  const std::vector<int32_t> ids = {1, 2, 3};
  Growing sequence = Start();
  DecoderBatch batch;
  batch.Add({.ids = ids, .table = sequence.table});
  WorkTeam::Session session(team);
  int asked = 0;
  const auto once = [&] { return ++asked < 2; };
  auto output = decoder->Forward(batch, sequence.pages, session, sequence.workspace, once);
  EXPECT_EQ(output.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(asked, 2);
}

INSTANTIATE_TEST_SUITE_P(Families, DecoderGoldenTest,
                         ::testing::Values("gpt2", "llama", "llama3", "mistral", "qwen2", "qwen3", "phi3", "gemma3",
                                           "gpt_neox"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace attnd
