#include "core/attention/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/attention/index_range.h"

namespace attnd {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Models of 6 layers and 12 heads throughout.
std::string Spelled(const absl::StatusOr<HeadSelection>& selection) {
  if (!selection.ok()) return std::string(selection.status().message());
  std::string text;
  for (const LayerHead& item : selection->items()) {
    text += "L" + std::to_string(item.layer) + "H" + std::to_string(item.head) + " ";
  }
  return text.substr(0, text.size() - 1);
}

TEST(SelectionTest, ReadsEveryForm) {
  const struct {
    const char* text;
    const char* expected;
  } cases[] = {
      {"L3H5", "L3H5"},
      {"l3h5", "L3H5"},
      {"L-1H-1", "L5H11"},
      {"L5H0,L3H5", "L3H5 L5H0"},
      {"L3H5, L3H5\n3:5", "L3H5"},
      {"1-2:0-1", "L1H0 L1H1 L2H0 L2H1"},
      {"-2--1:3", "L4H3 L5H3"},
      {"4--1:0", "L4H0 L5H0"},
      {"L*H2", "L0H2 L1H2 L2H2 L3H2 L4H2 L5H2"},
      {"H2", "L0H2 L1H2 L2H2 L3H2 L4H2 L5H2"},
      {"*:-1", "L0H11 L1H11 L2H11 L3H11 L4H11 L5H11"},
      {"L0-1H10-11", "L0H10 L0H11 L1H10 L1H11"},
      {" L0H0 ,, 5:11 ", "L0H0 L5H11"},
  };
  for (const auto& c : cases) EXPECT_EQ(Spelled(HeadSelection::Parse(c.text, 6, 12)), c.expected) << c.text;
}

TEST(SelectionTest, LayersWithoutHeadsTakeAllHeads) {
  const struct {
    const char* text;
    int size;
    LayerHead first;
    LayerHead last;
  } cases[] = {
      {"", 72, {0, 0}, {5, 11}},     {"*", 72, {0, 0}, {5, 11}},   {"*:*", 72, {0, 0}, {5, 11}},
      {"L4H*", 12, {4, 0}, {4, 11}}, {"L4", 12, {4, 0}, {4, 11}},  {"0,5", 24, {0, 0}, {5, 11}},
      {"0 5", 24, {0, 0}, {5, 11}},  {"3-5", 36, {3, 0}, {5, 11}}, {"-1", 12, {5, 0}, {5, 11}},
      {"-6", 12, {0, 0}, {0, 11}},
  };
  for (const auto& c : cases) {
    const absl::StatusOr<HeadSelection> selection = HeadSelection::Parse(c.text, 6, 12);
    ASSERT_TRUE(selection.ok()) << c.text << ": " << selection.status();
    EXPECT_EQ(selection->size(), c.size) << c.text;
    EXPECT_EQ(selection->items().front(), c.first) << c.text;
    EXPECT_EQ(selection->items().back(), c.last) << c.text;
  }
}

TEST(SelectionTest, IndexOfIsThePositionAmongTheItems) {
  const HeadSelection selection = *HeadSelection::Parse("L5H0 L3H5 L3H1", 6, 12);
  for (int layer = 0; layer < 6; ++layer) {
    for (int head = 0; head < 12; ++head) {
      const auto at = std::find(selection.items().begin(), selection.items().end(), LayerHead{layer, head});
      const int expected = at == selection.items().end() ? -1 : static_cast<int>(at - selection.items().begin());
      EXPECT_EQ(selection.IndexOf(layer, head), expected) << layer << " " << head;
    }
  }
}

TEST(SelectionTest, RefusesNamingTheFieldTheItemAndTheLimit) {
  const struct {
    std::string text;
    const char* message;
  } cases[] = {
      {"99", "selection: item 1: layer 99: the model has layers 0 to 5"},
      {"L0H0,L3H12", "selection: item 2: head 12: the model has heads 0 to 11"},
      {"L6H0", "layer 6: the model has layers 0 to 5"},
      {"-7", "layer -7: the model has layers 0 to 5"},
      {"0:-13", "head -13: the model has heads 0 to 11"},
      {"5-3", "the range of layers 5-3 runs backwards"},
      {"-1--2", "the range of layers -1--2 runs backwards"},
      {"0:4-1", "the range of heads 4-1 runs backwards"},
      {"x", "the layer is not a number"},
      {"LxH1", "the layer is not a number"},
      {"L3Hx", "the head is not a number"},
      {"L3H", "the head is not a number"},
      {"3:", "the head is not a number"},
      {"L", "the layer is not a number"},
      {"-", "the layer is not a number"},
      {"2-", "the layer is not a number"},
      {"L3:5", "not like L3H5"},
      {"3H5", "not like L3H5"},
      {"L3H5x", "not like L3H5"},
      {"3:5:7", "not like L3H5"},
      {"**", "not like L3H5"},
      {"1.5", "not like L3H5"},
      {"99999999999999999999", "layer 999999999: the model has layers 0 to 5"},
      {" , ", "nothing but separators"},
      {std::string("3\0", 2), "not like L3H5"},
      {std::string(5000, '1'), "selection: 5000 bytes, the limit is 4096"},
  };
  for (const auto& c : cases) {
    const absl::StatusOr<HeadSelection> selection = HeadSelection::Parse(c.text, 6, 12);
    ASSERT_EQ(selection.status().code(), absl::StatusCode::kInvalidArgument) << c.text;
    EXPECT_THAT(std::string(selection.status().message()), HasSubstr(c.message)) << c.text;
    EXPECT_LT(selection.status().message().size(), 200u);
  }
  const absl::StatusOr<HeadSelection> named = HeadSelection::Parse("secret", 6, 12, "maps.selection");
  EXPECT_THAT(std::string(named.status().message()), testing::StartsWith("maps.selection: item 1"));
  EXPECT_THAT(std::string(named.status().message()), Not(HasSubstr("secret")));
}

TEST(SelectionTest, CrossesLayersAndHeads) {
  EXPECT_EQ(Spelled(HeadSelection::ParseCross("0,5", "7-8", 6, 12)), "L0H7 L0H8 L5H7 L5H8");
  EXPECT_EQ(Spelled(HeadSelection::ParseCross("-1", "-1 0", 6, 12)), "L5H0 L5H11");
  EXPECT_EQ(HeadSelection::ParseCross("", "3", 6, 12)->size(), 6);
  EXPECT_EQ(HeadSelection::ParseCross("*", "", 6, 12)->size(), 72);
  EXPECT_THAT(Spelled(HeadSelection::ParseCross("99", "0", 6, 12)),
              HasSubstr("layers: item 1: layer 99: the model has layers 0 to 5"));
  EXPECT_THAT(Spelled(HeadSelection::ParseCross("0", "0,x", 6, 12)),
              HasSubstr("heads: item 2: the head is not a number"));
  EXPECT_THAT(Spelled(HeadSelection::ParseCross("0:1", "0", 6, 12)), HasSubstr("layers: item 1"));
  EXPECT_THAT(Spelled(HeadSelection::ParseCross(",", "0", 6, 12)), HasSubstr("layers: nothing but separators"));
}

TEST(IndexRangeTest, ResolvesAsPythonSlices) {
  const struct {
    IndexRange range;
    TokenSpan expected;
  } cases[] = {
      {{}, {0, 10}},
      {{2, 5}, {2, 5}},
      {{-3, std::nullopt}, {7, 10}},
      {{std::nullopt, -1}, {0, 9}},
      {{-3, -1}, {7, 9}},
      {{-20, 3}, {0, 3}},
      {{4, 99}, {4, 10}},
      {{INT64_MIN, INT64_MAX}, {0, 10}},
  };
  for (const auto& c : cases) EXPECT_EQ(*c.range.Resolve(10, "queries"), c.expected);
}

TEST(IndexRangeTest, RefusesEmptyOnesNamingTheFieldAndTheCount) {
  for (const IndexRange range : {IndexRange{3, 3}, IndexRange{5, 2}, IndexRange{10, std::nullopt}, IndexRange{-1, -2},
                                 IndexRange{std::nullopt, 0}, IndexRange{INT64_MAX, INT64_MIN}}) {
    const absl::StatusOr<TokenSpan> span = range.Resolve(10, "keys");
    ASSERT_EQ(span.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(span.status().message()), testing::StartsWith("keys: the range ["));
    EXPECT_THAT(std::string(span.status().message()), HasSubstr("the sequence has 10 tokens"));
  }
}

}  // namespace
}  // namespace attnd
