#include "core/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/golden/golden.h"

namespace attnd {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

class TokenizerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = golden::LoadTokenizer(golden::Folder("bert"));
  const int32_t cls_ = tokenizer_->TokenId("[CLS]");
  const int32_t sep_ = tokenizer_->TokenId("[SEP]");
};

TEST_F(TokenizerTest, MarksSpecialTokensWordsAndSpans) {
  const std::string text = "One wish";
  const Encoding e = tokenizer_->Encode(text, {}).value();
  ASSERT_GE(e.tokens(), 4);
  EXPECT_EQ(e.ids.front(), cls_);
  EXPECT_EQ(e.ids.back(), sep_);
  EXPECT_THAT(e.type_ids, Each(0));
  const int last = e.tokens() - 1;
  for (int t : {0, last}) {
    EXPECT_EQ(e.special[t], 1);
    EXPECT_EQ(e.word_ids[t], -1);
    EXPECT_EQ(e.sequence_ids[t], -1);
    EXPECT_EQ(e.spans[t].begin, 0);
    EXPECT_EQ(e.spans[t].end, 0);
  }
  // The pieces of a word join to it, and carry its number.
  std::vector<std::string> words(2);
  for (int t = 1; t < last; ++t) {
    EXPECT_EQ(e.special[t], 0);
    EXPECT_EQ(e.sequence_ids[t], 0);
    words.at(e.word_ids[t]) += text.substr(e.spans[t].begin, e.spans[t].end - e.spans[t].begin);
  }
  EXPECT_THAT(words, ElementsAre("One", "wish"));
}

TEST_F(TokenizerTest, LiteralSpecialTokensOfTheTextAreNotTheTemplates) {
  const Encoding e = tokenizer_->Encode("[SEP]", {}).value();
  EXPECT_THAT(e.ids, ElementsAre(cls_, sep_, sep_));
  EXPECT_THAT(e.special, ElementsAre(1, 0, 1));
}

TEST_F(TokenizerTest, PairsKeepTheirOwnSpans) {
  const Encoding e = tokenizer_->EncodePair("a wish", "be good", {}).value();
  EXPECT_EQ(std::count(e.ids.begin(), e.ids.end(), sep_), 2);
  const auto second = std::find(e.sequence_ids.begin(), e.sequence_ids.end(), 1) - e.sequence_ids.begin();
  ASSERT_LT(second, e.tokens());
  EXPECT_EQ(e.ids[second - 1], sep_);
  EXPECT_EQ(e.type_ids[second - 1], 0);
  EXPECT_EQ(e.type_ids[second], 1);
  EXPECT_EQ(e.word_ids[second], 0);
  EXPECT_EQ(e.spans[second].begin, 0);
  EXPECT_EQ(e.type_ids.back(), 1);
  EXPECT_EQ(e.sequence_ids.back(), -1);
}

TEST_F(TokenizerTest, WithoutSpecialTokens) {
  const Encoding with = tokenizer_->Encode("to be here", {}).value();
  const Encoding without = tokenizer_->Encode("to be here", {.add_special_tokens = false}).value();
  EXPECT_EQ(without.ids, std::vector<int32_t>(with.ids.begin() + 1, with.ids.end() - 1));
  EXPECT_THAT(without.special, Each(0));
  EXPECT_EQ(tokenizer_->Encode("", {.add_special_tokens = false}).value().tokens(), 0);
  EXPECT_THAT(tokenizer_->Encode("", {}).value().ids, ElementsAre(cls_, sep_));
}

TEST_F(TokenizerTest, TruncatesAtEitherEnd) {
  const std::string text = "You are a wish to be here wishing yourself.";
  const Encoding full = tokenizer_->Encode(text, {}).value();
  const int n = full.tokens();
  ASSERT_GT(n, 10);
  const Encoding end = tokenizer_->Encode(text, {.max_tokens = 7, .truncate = Truncate::kEnd}).value();
  std::vector<int32_t> expected(full.ids.begin(), full.ids.begin() + 6);
  expected.push_back(sep_);
  EXPECT_EQ(end.ids, expected);
  const Encoding start = tokenizer_->Encode(text, {.max_tokens = 7, .truncate = Truncate::kStart}).value();
  expected.assign(full.ids.end() - 6, full.ids.end());
  expected.insert(expected.begin(), cls_);
  EXPECT_EQ(start.ids, expected);
  EXPECT_EQ(start.spans[1].begin, full.spans[n - 6].begin);
  EXPECT_THAT(std::vector<size_t>({start.type_ids.size(), start.special.size(), start.word_ids.size(),
                                   start.spans.size(), start.sequence_ids.size()}),
              Each(7u));
  EXPECT_EQ(tokenizer_->Encode(text, {.max_tokens = n}).value().ids, full.ids);
  EXPECT_THAT(tokenizer_->Encode(text, {.max_tokens = 2, .truncate = Truncate::kEnd}).value().ids,
              ElementsAre(cls_, sep_));
}

TEST_F(TokenizerTest, RefusesWhatIsTooLong) {
  const std::string text = "You are a wish to be here wishing yourself.";
  const int n = tokenizer_->Encode(text, {}).value().tokens();
  const absl::Status refused = tokenizer_->Encode(text, {.max_tokens = n - 1}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.message(),
            "the text has " + std::to_string(n) + " tokens, at most " + std::to_string(n - 1) + " are allowed");
  const absl::Status special = tokenizer_->Encode(text, {.max_tokens = 1, .truncate = Truncate::kEnd}).status();
  EXPECT_EQ(special.message(), "the 2 special tokens alone exceed the 1 tokens allowed");
}

// The lengths that "longest_first" of the Hugging Face library gives.
TEST_F(TokenizerTest, PairsShortenTheLongerFirst) {
  const std::string b = "b b b b b b b b";  // 8 tokens each
  const std::string c = "c c c c c c c c";
  const auto lengths = [&](std::string_view first, std::string_view second, int max_tokens, Truncate truncate) {
    const Encoding e = tokenizer_->EncodePair(first, second, {.max_tokens = max_tokens, .truncate = truncate}).value();
    EXPECT_EQ(e.tokens(), max_tokens);
    EXPECT_EQ(std::count(e.special.begin(), e.special.end(), 1), 3);
    return std::pair(std::count(e.sequence_ids.begin(), e.sequence_ids.end(), 0),
                     std::count(e.sequence_ids.begin(), e.sequence_ids.end(), 1));
  };
  for (Truncate truncate : {Truncate::kEnd, Truncate::kStart}) {
    EXPECT_EQ(lengths(b, c, 19, truncate), std::pair(8l, 8l));
    EXPECT_EQ(lengths(b, c, 18, truncate), std::pair(7l, 8l));
    EXPECT_EQ(lengths(b, "c c", 10, truncate), std::pair(5l, 2l));
    EXPECT_EQ(lengths("b b", c, 10, truncate), std::pair(2l, 5l));
    EXPECT_EQ(lengths("b b b b b", c, 10, truncate), std::pair(3l, 4l));
    EXPECT_EQ(lengths(b, "c c c c c", 10, truncate), std::pair(4l, 3l));
    EXPECT_EQ(lengths(b, c, 3, truncate), std::pair(0l, 0l));
  }
}

TEST_F(TokenizerTest, InvalidUtf8IsNamedByItsByte) {
  for (const auto& [text, byte] : std::vector<std::pair<std::string, int>>{{"\xff", 0},
                                                                           {"abc\xc3(", 3},
                                                                           {"ab\xe2\x82", 2},
                                                                           {"a\xed\xa0\x80", 1},
                                                                           {"\xc0\xaf", 0},
                                                                           {"a\xf5\x80\x80\x80", 1}}) {
    const absl::Status status = tokenizer_->Encode(text, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "the text is not valid UTF-8 at byte " + std::to_string(byte));
  }
  EXPECT_EQ(tokenizer_->EncodePair("a", "b\xff", {}).status().message(),
            "the second text is not valid UTF-8 at byte 1");
  EXPECT_EQ(tokenizer_->TokenId("\xff"), -1);
}

TEST_F(TokenizerTest, NulIsACharacter) {
  const std::string text("wish\0be good", 12);
  const Encoding e = tokenizer_->Encode(text, {}).value();
  EXPECT_EQ(e.spans[e.tokens() - 2].end, 12);
  EXPECT_GT(e.tokens(), tokenizer_->Encode("wish", {}).value().tokens());
}

TEST_F(TokenizerTest, DecodeNamesUnknownIds) {
  EXPECT_EQ(tokenizer_->Decode({}, true).value(), "");
  EXPECT_EQ(tokenizer_->Decode({cls_, 800, 801}, true).status().message(),
            "token id 800 at index 1 is not in the vocabulary");
  EXPECT_EQ(tokenizer_->Decode({-1}, true).status().message(), "token id -1 at index 0 is not in the vocabulary");
  EXPECT_EQ(tokenizer_->Decode({INT32_MIN}, true).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(TokenizerTest, TokenTextAndIdAreInverse) {
  int found = 0;
  for (int32_t id = 0; id < tokenizer_->vocabulary_size(); ++id) {
    const std::string token = tokenizer_->TokenText(id);
    if (!token.empty()) {
      EXPECT_EQ(tokenizer_->TokenId(token), id) << token;
      ++found;
    }
  }
  EXPECT_EQ(found, 800);
  EXPECT_EQ(tokenizer_->TokenText(800), "");
  EXPECT_EQ(tokenizer_->TokenText(-1), "");
  EXPECT_EQ(tokenizer_->TokenId("no such token"), -1);
}

TEST(TokenizerLoadTest, NamesTheFileAndTheFault) {
  EXPECT_EQ(Tokenizer::Load("/nonexistent/tokenizer.json").status().code(), absl::StatusCode::kNotFound);
  for (
      const std::string& json :
      {std::string(), std::string("{}"), std::string("[]"), std::string("{\"model\":3}"), std::string("\xff\xfe"),
       std::string(1 << 20, '['), std::string(R"({"version":"1.0","model":{"type":"WordPiece","vocab":{"a":-1}}})"),
       std::string(
           R"({"version":"1.0","added_tokens":[],"model":{"type":"WordPiece","unk_token":"a","continuing_subword_prefix":"",)"
           R"("max_input_chars_per_word":100,"vocab":{"a":4294967295}}})")}) {
    const absl::Status status = Tokenizer::Parse(json, "x/tokenizer.json").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json.substr(0, 100);
    EXPECT_THAT(std::string(status.message()), ::testing::StartsWith("x/tokenizer.json: "));
    EXPECT_LT(status.message().size(), 500u);
  }
}

TEST(TokenizerLoadTest, TruncationAndPaddingOfTheFileAreOff) {
  std::ifstream file(golden::Folder("bert") + "/tokenizer.json");
  nlohmann::json json = nlohmann::json::parse(file);
  json["truncation"] = {{"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}, {"direction", "Right"}};
  json["padding"] = {{"strategy", {{"Fixed", 64}}},
                     {"direction", "Right"},
                     {"pad_to_multiple_of", nullptr},
                     {"pad_id", 0},
                     {"pad_type_id", 0},
                     {"pad_token", "[PAD]"}};
  const auto plain = golden::LoadTokenizer(golden::Folder("bert"));
  auto other = Tokenizer::Parse(json.dump(), "x");
  ASSERT_TRUE(other.ok()) << other.status();
  const std::string text = "You are a wish to be here wishing yourself.";
  EXPECT_EQ((*other)->Encode(text, {}).value().ids, plain->Encode(text, {}).value().ids);
}

// The crate has corners that are quadratic in a word's length; none may be reachable through BERT's tokenizer.
TEST_F(TokenizerTest, LongWordsAreFine) {
  constexpr size_t kBytes = 64 << 10;
  for (const std::string unit : {"x", "東", "🙂", "é", "e\u0301", ".", " ", "\n", "[SEP]", "\u0301"}) {
    std::string text;
    while (text.size() + unit.size() <= kBytes) text += unit;
    auto encoding = tokenizer_->Encode(text, {});
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    for (const TextSpan& span : encoding->spans) {
      ASSERT_LE(0, span.begin);
      ASSERT_LE(span.begin, span.end);
      ASSERT_LE(span.end, static_cast<int32_t>(text.size()));
    }
  }
}

TEST(TokenizerThreadTest, ManyThreadsShareOneTokenizer) {
  const auto tokenizer = golden::LoadTokenizer(golden::MiniLmFolder());
  const golden::Cases cases(golden::Folder("real/minilm"));
  std::vector<std::thread> threads;
  std::vector<int> mismatches(32, 0);
  threads.reserve(mismatches.size());
  for (size_t t = 0; t < mismatches.size(); ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<uint32_t>(t));
      for (int i = 0; i < 200; ++i) {
        const size_t c = random() % cases.size();
        auto encoding = tokenizer->Encode(cases.Text(c), {.max_tokens = 256, .truncate = Truncate::kEnd});
        if (!encoding.ok() || encoding->ids != cases.Ints(c, "ids") ||
            tokenizer->TokenText(encoding->ids[0]) != "[CLS]" || !tokenizer->Decode(encoding->ids, true).ok()) {
          ++mismatches[t];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(mismatches, Each(0));
}

// BPE keeps the words that it has seen, for all threads.
TEST(TokenizerThreadTest, ManyThreadsShareTheWordsOfOneBpe) {
  std::vector<std::string> texts;
  std::vector<std::vector<int32_t>> ids;
  const auto alone = golden::LoadTokenizer(golden::Folder("gpt2"));
  for (int i = 0; i < 400; ++i) {
    texts.push_back(absl::StrCat("the word", i % 50, " and ", i, "th one, said to ", i * i));
    ids.push_back(alone->Encode(texts.back(), {}).value().ids);
  }
  const auto shared = golden::LoadTokenizer(golden::Folder("gpt2"));
  std::vector<std::thread> threads;
  std::vector<int> mismatches(8, 0);
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 400; ++i) {
        const int c = (i + t * 25) % 400;
        const auto encoding = shared->Encode(texts[c], {});
        if (!encoding.ok() || encoding->ids != ids[c]) ++mismatches[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(mismatches, Each(0));
}

}  // namespace
}  // namespace attnd
