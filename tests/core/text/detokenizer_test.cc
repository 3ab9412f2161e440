#include "core/text/detokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/golden/golden.h"

namespace attnd {
namespace {

bool IsUtf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const int length = byte < 0x80 ? 1 : byte >> 5 == 6 ? 2 : byte >> 4 == 14 ? 3 : byte >> 3 == 30 ? 4 : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (int k = 1; k < length; ++k) {
      if ((static_cast<uint8_t>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    i += length;
  }
  return true;
}

class DetokenizerTest : public ::testing::Test {
 protected:
  const std::unique_ptr<Tokenizer> tokenizer = golden::LoadTokenizer(golden::Folder("llama"));
};

TEST_F(DetokenizerTest, PiecesAreWholeCharactersAndTheWholeText) {
  for (const std::string text : {"The cat sat.", "Zażółć gęślą jaźń", "東京は日本の首都です。",
                                 "🙂🚀 emoji 👩‍👩‍👧 family", "  spaces\n\n\ttabs ", ""}) {
    const std::vector<int32_t> ids = tokenizer->Encode(text, {})->ids;
    for (size_t prompt = 0; prompt <= ids.size(); prompt += 5) {
      Detokenizer detokenizer(*tokenizer, absl::MakeConstSpan(ids).subspan(0, prompt));
      std::string all = tokenizer->Decode(absl::MakeConstSpan(ids).subspan(0, prompt), true).value();
      if (!IsUtf8(all) || all.find("\xEF\xBF\xBD") != std::string::npos)
        continue;  // a prompt that ends inside a character
      for (size_t i = prompt; i < ids.size(); ++i) {
        const std::string piece = detokenizer.Add(ids[i]).value();
        EXPECT_TRUE(IsUtf8(piece)) << text;
        EXPECT_EQ(piece.find("\xEF\xBF\xBD"), std::string::npos) << text;
        all += piece;
      }
      all += detokenizer.Finish().value();
      EXPECT_EQ(all, text) << prompt;
    }
  }
}

TEST_F(DetokenizerTest, BrokenCharactersShowInTheEnd) {
  const std::vector<int32_t> ids = tokenizer->Encode("🙂", {})->ids;
  ASSERT_GT(ids.size(), 1u);
  Detokenizer detokenizer(*tokenizer, {});
  EXPECT_EQ(detokenizer.Add(ids[0]).value(), "");
  EXPECT_EQ(detokenizer.Finish().value(), "\xEF\xBF\xBD");
  EXPECT_EQ(detokenizer.Finish().value(), "");
  // Bytes that never become a character do not hold the text back for ever.
  std::string shown;
  for (int i = 0; i < 40; ++i) shown += detokenizer.Add(ids[0]).value();
  EXPECT_FALSE(shown.empty());
  EXPECT_TRUE(IsUtf8(shown));
}

TEST_F(DetokenizerTest, CharactersThatBeginInThePromptAreWhole) {
  const std::vector<int32_t> ids = tokenizer->Encode("a🙂b", {})->ids;
  ASSERT_GT(ids.size(), 4u);
  for (size_t prompt = 2; prompt + 2 < ids.size(); ++prompt) {
    Detokenizer detokenizer(*tokenizer, absl::MakeConstSpan(ids).subspan(0, prompt));
    std::string all;
    for (size_t i = prompt; i < ids.size(); ++i) all += detokenizer.Add(ids[i]).value();
    EXPECT_EQ(all, "🙂b") << prompt;
  }
}

// One replacement character for each byte, where a byte-level decoder has one for all.
TEST(DetokenizerByteFallbackTest, CharactersThatBeginInThePromptAreWhole) {
  const auto tokenizer = Tokenizer::Parse(
      R"({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null, "post_processor": null,
          "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
          "model": {"type": "BPE", "byte_fallback": true, "merges": [],
                    "vocab": {"a": 0, "<0xF0>": 1, "<0x9F>": 2, "<0x99>": 3, "<0x82>": 4}}})",
      "x");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  const std::vector<int32_t> ids = {0, 1, 2, 3, 4, 0};
  for (size_t prompt = 1; prompt < 5; ++prompt) {
    Detokenizer detokenizer(**tokenizer, absl::MakeConstSpan(ids).subspan(0, prompt));
    std::string all;
    for (size_t i = prompt; i < ids.size(); ++i) all += detokenizer.Add(ids[i]).value();
    EXPECT_EQ(all, "🙂a") << prompt;
  }
  // What never becomes a character was shown, and is not shown again.
  Detokenizer broken(**tokenizer, {});
  std::string all;
  for (int i = 0; i < 16; ++i) all += broken.Add(1).value();
  EXPECT_EQ(all.size(), 16 * 3u);
  for (const int32_t id : {0, 1, 2, 3, 4, 0}) all += broken.Add(id).value();
  EXPECT_EQ(all.substr(16 * 3), "a🙂a");
}

TEST_F(DetokenizerTest, IdsOfNoTokenAreNoText) {
  const int32_t none = tokenizer->vocabulary_size();
  const std::vector<int32_t> ids = tokenizer->Encode("The 🙂 sat", {})->ids, prompt = {ids[0], none};
  Detokenizer detokenizer(*tokenizer, prompt);
  std::string all = tokenizer->Decode({&ids[0], 1}, true).value();
  for (const int32_t id : std::vector<int32_t>(ids.begin() + 1, ids.end())) {
    EXPECT_FALSE(detokenizer.Add(none).ok());
    all += detokenizer.Add(id).value();
  }
  EXPECT_FALSE(detokenizer.Add(none).ok());
  EXPECT_EQ(detokenizer.Finish().value(), "");
  EXPECT_EQ(all, "The 🙂 sat");
}

TEST_F(DetokenizerTest, SpecialTokensAreNoText) {
  Detokenizer detokenizer(*tokenizer, {});
  EXPECT_EQ(detokenizer.Add(tokenizer->TokenId("<|im_end|>")).value(), "");
  EXPECT_EQ(detokenizer.Add(tokenizer->TokenId("a")).value(), "a");
}

TEST(StopMatcherTest, FindsStopsAcrossPieces) {
  for (size_t cut = 1; cut < 9; ++cut) {
    StopMatcher matcher({"STOP", "\n\n"});
    const std::string text = "abSTxSTOPyz";
    std::string out;
    bool stopped = false;
    for (size_t i = 0; i < text.size() && !stopped; i += cut) stopped = matcher.Add(text.substr(i, cut), out);
    EXPECT_TRUE(stopped);
    EXPECT_EQ(out, "abSTx");
  }
}

TEST(StopMatcherTest, TheFirstInTheTextWins) {
  StopMatcher matcher({"later", "b"});
  std::string out;
  EXPECT_TRUE(matcher.Add("a b later", out));
  EXPECT_EQ(out, "a ");
}

TEST(StopMatcherTest, HoldsBackOnlyWhatMayBecomeAStop) {
  StopMatcher matcher({"###"});
  std::string out;
  EXPECT_FALSE(matcher.Add("a#", out));
  EXPECT_EQ(out, "a");
  EXPECT_FALSE(matcher.Add("b##", out));
  EXPECT_EQ(out, "a#b");
  matcher.Finish(out);
  EXPECT_EQ(out, "a#b##");
  StopMatcher none({});
  EXPECT_FALSE(none.Add("all of it", out));
  EXPECT_EQ(out, "a#b##all of it");
}

TEST(StopMatcherTest, RandomCutsFindWhatAWholeSearchFinds) {
  std::mt19937 random(1);
  const auto pick = [&](int below) { return std::uniform_int_distribution<int>(0, below - 1)(random); };
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int i = pick(30); i > 0; --i) text += "ab"[pick(2)];
    std::vector<std::string> stops;
    for (int i = pick(3); i >= 0; --i) {
      stops.emplace_back();
      for (int k = pick(5); k >= 0; --k) stops.back() += "ab"[pick(2)];
    }
    size_t first = std::string::npos;
    for (const std::string& stop : stops) first = std::min(first, text.find(stop));
    StopMatcher matcher(stops);
    std::string out;
    bool stopped = false;
    for (size_t at = 0; at < text.size() && !stopped;) {
      const size_t size = 1 + pick(4);
      stopped = matcher.Add(text.substr(at, size), out);
      at += size;
    }
    if (!stopped) matcher.Finish(out);
    EXPECT_EQ(stopped, first != std::string::npos);
    // A stop string that is complete early may begin after one that completes later: what is shown is never more.
    EXPECT_EQ(out, text.substr(0, out.size()));
    if (!stopped) {
      EXPECT_EQ(out, text);
    }
  }
}

}  // namespace
}  // namespace attnd
