#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "core/text/tokenizer.h"
#include "tests/golden/encoders.h"
#include "tests/golden/golden.h"

namespace attnd {
namespace {

class GoldenFolderTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenFolderTest, IdsAndTypesAreEqual) {
  const std::string folder = golden::Folder(GetParam());
  const auto tokenizer = golden::LoadTokenizer(folder);
  const golden::Cases cases(folder + "/golden");
  ASSERT_EQ(cases.size(), 6u);
  const EncodeOptions options{.max_tokens = 96, .truncate = Truncate::kEnd};
  const std::string name = GetParam();
  const bool masked = absl::EndsWith(name, "-mlm") || name == "camembert";
  for (size_t i = 0; i < cases.size(); ++i) {
    auto encoding = cases.Pair(i).is_null()
                        ? tokenizer->Encode(cases.Text(i), options)
                        : tokenizer->EncodePair(cases.Text(i), cases.Pair(i).get<std::string>(), options);
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    std::vector<int32_t> ids = cases.Ints(i, "ids");
    ASSERT_FALSE(ids.empty());
    if (masked) ids[3] = encoding->ids[3];  // the generator put the mask token there
    EXPECT_EQ(encoding->ids, ids) << cases.Text(i);
    std::vector<int32_t> type_ids = cases.Ints(i, "type_ids");
    if (type_ids.empty()) {
      // The golden ran without them. BERT's template says 1 after the first [SEP]; others say 0.
      type_ids.assign(ids.size(), 0);
      const auto first_sep = std::find(ids.begin(), ids.end(), tokenizer->TokenId("[SEP]"));
      for (size_t t = first_sep - ids.begin() + 1; t < type_ids.size(); ++t) type_ids[t] = 1;
    }
    EXPECT_EQ(encoding->type_ids, type_ids) << cases.Text(i);
  }
}

INSTANTIATE_TEST_SUITE_P(Encoders, GoldenFolderTest, ::testing::ValuesIn(golden::kEncoders));

// Byte offset of each code point of `text`, and of its end.
std::vector<int32_t> CodePointOffsets(const std::string& text) {
  std::vector<int32_t> offsets;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80) offsets.push_back(static_cast<int32_t>(i));
  }
  offsets.push_back(static_cast<int32_t>(text.size()));
  return offsets;
}

TEST(MiniLmTokenizerTest, IdsAndSpansAreEqual) {
  const auto tokenizer = golden::LoadTokenizer(golden::MiniLmFolder());
  EXPECT_EQ(tokenizer->vocabulary_size(), 30522);
  const golden::Cases cases(golden::Folder("real/minilm"));
  ASSERT_EQ(cases.size(), 40u);
  for (size_t i = 0; i < cases.size(); ++i) {
    const std::string text = cases.Text(i);
    auto encoding = tokenizer->Encode(text, {.max_tokens = 256, .truncate = Truncate::kEnd});
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    EXPECT_EQ(encoding->ids, cases.Ints(i, "ids")) << text;
    const std::vector<int32_t> expected = cases.Ints(i, "offsets");  // [tokens, 2]
    const std::vector<int32_t> bytes = CodePointOffsets(text);
    ASSERT_EQ(encoding->spans.size() * 2, expected.size());
    for (int t = 0; t < encoding->tokens(); ++t) {
      EXPECT_EQ(encoding->spans[t].begin, bytes[expected[2 * t]]) << text << " token " << t;
      EXPECT_EQ(encoding->spans[t].end, bytes[expected[2 * t + 1]]) << text << " token " << t;
    }
  }
}

TEST(MiniLmTokenizerTest, DecodesToTheTextInLowerCase) {
  const auto tokenizer = golden::LoadTokenizer(golden::MiniLmFolder());
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"The cat sat on the mat because it was tired.", "the cat sat on the mat because it was tired."},
      {"hello, world!", "hello, world!"},
      {"Tokenization", "tokenization"},
      {"Don't", "don ' t"},  // as the Hugging Face libraries give it
      {"naïve", "naive"},
  };
  for (const auto& [text, decoded] : expected) {
    auto encoding = tokenizer->Encode(text, {});
    ASSERT_TRUE(encoding.ok()) << encoding.status();
    EXPECT_EQ(tokenizer->Decode(encoding->ids, true).value(), decoded);
    EXPECT_EQ(tokenizer->Decode(encoding->ids, false).value(), "[CLS] " + decoded + " [SEP]");
    // Text that decoding gave encodes to the same ids.
    EXPECT_EQ(tokenizer->Encode(decoded, {}).value().ids, encoding->ids);
  }
}

}  // namespace
}  // namespace attnd
