#include "core/engine/wanted_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int kLayers = 2, kHeads = 3;

// Wants L0H1 and L1H2, and writes down what comes.
class Seen : public AttentionSink {
 public:
  bool Wants(int layer, int head) const override { return head == layer + 1; }
  void Tile(const AttentionTile& tile) override {
    for (int r = 0; r < tile.query_count; ++r) {
      const int row = tile.query_begin + r;
      rows.push_back(absl::StrCat("L", tile.layer, "H", tile.head, " ", row));
      EXPECT_GT(tile.key_count, row);
      for (int k = 0; k <= row; ++k) {
        EXPECT_EQ(tile.probabilities[r * tile.stride + k], static_cast<float>(100 * row + 10 * tile.layer + k));
      }
    }
  }
  std::vector<std::string> Take() { return std::exchange(rows, {}); }

  std::vector<std::string> rows;
};

// Rows [begin, end) of both heads, as a step gives them.
void Step(WantedRows& to, int begin, int end) {
  for (int layer = 0; layer < kLayers; ++layer) {
    const int stride = end + 5;
    std::vector<float> rows(static_cast<size_t>(stride) * (end - begin), -1.0f);
    for (int row = begin; row < end; ++row) {
      for (int k = 0; k <= row; ++k) {
        rows[static_cast<size_t>(row - begin) * stride + k] = static_cast<float>(100 * row + 10 * layer + k);
      }
    }
    to.Tile({layer, layer + 1, begin, end - begin, end, rows.data(), stride});
  }
}

class WantedRowsTest : public ::testing::Test {
 protected:
  GenerationRequest Request() {
    GenerationRequest request{.prompt = {1, 2, 3, 4, 5}, .max_tokens = 9};
    request.attention = &seen;
    return request;
  }
  Seen seen;
};

TEST_F(WantedRowsTest, OfThePromptAndThoseThatGiveTokens) {
  GenerationRequest request = Request();
  request.prompt_attention = {1, 3};
  WantedRows rows(request, kLayers, kHeads);
  EXPECT_EQ(rows.From(0, 2), 1);
  EXPECT_EQ(rows.From(2, 5), 2);
  EXPECT_EQ(rows.From(3, 4), 4);
  EXPECT_EQ(rows.From(3, 5), 4);
  EXPECT_EQ(rows.From(7, 8), 7);
  Step(rows, 0, 5);
  EXPECT_THAT(seen.Take(), ElementsAre("L0H1 1", "L0H1 2", "L0H1 4", "L1H2 1", "L1H2 2", "L1H2 4"));
}

TEST_F(WantedRowsTest, DraftsAreHandedOnOnlyWhenTheyWereRight) {
  WantedRows rows(Request(), kLayers, kHeads);
  rows.Keep(7, 3);
  Step(rows, 6, 10);
  EXPECT_THAT(seen.Take(), ElementsAre("L0H1 6", "L1H2 6"));
  rows.HandOn(7);
  rows.HandOn(8);
  EXPECT_THAT(seen.Take(), ElementsAre("L0H1 7", "L1H2 7", "L0H1 8", "L1H2 8"));
  rows.Keep(10, 1);
  Step(rows, 9, 11);
  EXPECT_THAT(seen.Take(), ElementsAre("L0H1 9", "L1H2 9")) << "the refused row 9 comes again, as the answer's own";
  rows.Keep(11, 0);
  Step(rows, 10, 11);
  EXPECT_THAT(seen.Take(), ElementsAre("L0H1 10", "L1H2 10"));
  rows.HandOn(11);
  EXPECT_THAT(seen.Take(), IsEmpty());
}

TEST_F(WantedRowsTest, KeepsAsManyAsFit) {
  WantedRows rows(Request(), kLayers, kHeads);
  const int64_t of_a_row = WantedRows::kKeptFloats / 2;  // of each of two heads
  EXPECT_EQ(rows.KeepAtMost(1), of_a_row / WantedRows::kKeysStep);
  EXPECT_EQ(rows.KeepAtMost(1024), of_a_row / 1024);
  EXPECT_EQ(rows.KeepAtMost(1025), of_a_row / (1024 + WantedRows::kKeysStep));
  EXPECT_EQ(rows.KeepAtMost(static_cast<int>(of_a_row) + 1), 0);
}

TEST_F(WantedRowsTest, NobodyLooks) {
  WantedRows rows(GenerationRequest{.prompt = {1, 2}, .max_tokens = 3}, kLayers, kHeads);
  EXPECT_EQ(rows.From(0, 100), 100);
  EXPECT_GE(rows.KeepAtMost(1 << 20), 1 << 20);
  rows.Keep(3, 4);
  rows.HandOn(3);
}

}  // namespace
}  // namespace attnd
