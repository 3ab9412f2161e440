// The table of heads: their kinds, its order and its width.
#include "client/render/heads.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "client/format.h"
#include "client/io.h"

namespace attnd {
namespace {

using testing::HasSubstr;

TEST(Heads, KindsBySinksThenTraits) {
  v1::Token cls, word;
  cls.set_text("[CLS]");
  cls.set_special(true);
  word.set_text("a");
  const std::vector<v1::Token> tokens = {cls, word, word};
  HeadStatistics head;
  head.previous = 0.7F;
  EXPECT_EQ(HeadKind(head, tokens), "previous");
  head.received_mass = {2.4F, 0.3F, 0.3F};
  EXPECT_EQ(HeadKind(head, tokens), "first sink");
  EXPECT_EQ(HeadKind({.normalized_entropy = 0.9F}, tokens), "broad");
  EXPECT_EQ(HeadKind({.normalized_entropy = 0.5F}, tokens), "mixed");
}

std::vector<v1::Token> TokensOf(const std::vector<int>& ids) {
  std::vector<v1::Token> tokens(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) tokens[i].set_id(ids[i]);
  return tokens;
}

TEST(Heads, KindsByRepeats) {
  const auto twice = TokensOf({1, 2, 3, 4, 5, 1, 2, 3, 4, 5});
  HeadStatistics head{.induction = 0.4F, .received_mass = {5.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F, 0.5F}};
  EXPECT_EQ(HeadKind(head, twice), "induction");  // what it rests on elsewhere is no sink
  EXPECT_EQ(HeadKind({.induction = 0.1F, .duplicate = 0.3F}, twice), "duplicate");
  head.induction = 0.2F;
  EXPECT_EQ(HeadKind(head, twice), "first sink");
  EXPECT_EQ(HeadKind({.previous = 0.6F, .induction = 0.5F}, twice), "previous");
  // One row of ten says little of a head, and in a list with commas half of the keys follow a comma.
  EXPECT_EQ(HeadKind({.induction = 0.1F}, TokensOf({1, 2, 3, 4, 5, 6, 7, 8, 9, 1})), "mixed");
  EXPECT_EQ(HeadKind({.induction = 0.4F}, TokensOf({1, 9, 2, 9, 3, 9, 4, 9, 5, 9})), "mixed");
}

int Widest(const std::string& text) {
  std::istringstream lines(text);
  int widest = 0;
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, Width(line));
  return widest;
}

TEST(Heads, TableFitsTheTerminal) {
  std::istringstream in;
  std::ostringstream out;
  Io io{in, out, out};
  std::vector<HeadRow> rows = {{{.layer = 11,
                                 .head = 11,
                                 .entropy = 2.5F,
                                 .normalized_entropy = 1,
                                 .confidence = 0.5F,
                                 .distance = 10.5F,
                                 .self = 0.1F,
                                 .previous = 0.1F,
                                 .special_mass = 0.1F},
                                "first sink"}};
  const std::string plain = HeadTable(rows, io);
  EXPECT_THAT(plain, HasSubstr("##########"));
  EXPECT_THAT(plain, testing::Not(HasSubstr("induct")));
  EXPECT_LE(Widest(plain), 80);
  rows[0].statistics.induction = 0.5F;
  rows[0].statistics.duplicate = 0.1F;
  const std::string repeats = HeadTable(rows, io);
  EXPECT_THAT(repeats, HasSubstr("next  special  induct   dup  kind"));
  EXPECT_THAT(repeats, testing::Not(HasSubstr("#")));
  EXPECT_LE(Widest(repeats), 80);
  rows[0].weight = 0.5F;
  const std::string weights = HeadTable(rows, io);
  EXPECT_THAT(weights, HasSubstr("prev  special  induct   dup  kind"));  // without next, which no head has
  EXPECT_LE(Widest(weights), 80);
  io.columns = 20;  // what is never left out
  EXPECT_THAT(HeadTable(rows, io), HasSubstr("head    weight  entropy  self"));
  io.columns = 120;
  EXPECT_THAT(HeadTable(rows, io), HasSubstr("##########"));
}

TEST(Heads, SortLargestFirst) {
  std::vector<HeadRow> rows = {{{.layer = 0, .self = 0.1F}, "a"}, {{.layer = 1, .self = 0.9F}, "b"}};
  EXPECT_TRUE(SortHeads(rows, "self").ok());
  EXPECT_EQ(rows[0].kind, "b");
  rows[1].statistics.induction = 0.5F;
  EXPECT_TRUE(SortHeads(rows, "induction").ok());
  EXPECT_EQ(rows[0].kind, "a");
  EXPECT_FALSE(SortHeads(rows, "colour").ok());
}

}  // namespace
}  // namespace attnd
