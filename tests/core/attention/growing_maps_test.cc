#include "core/attention/growing_maps.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/core/attention/reference.h"

namespace attnd {
namespace {

TEST(GrowingMapsTest, RowsInPiecesAndTwiceAreTheMapsOfWhatCame) {
  RandomSequence sequence(2, 3, 11, 5);
  auto selection = *HeadSelection::Parse("L0H2,L1H0", 2, 3);
  for (const int kept : {11, 9, 1}) {
    constexpr int kMost = 13;
    std::vector<float> maps(2 * kMost * kMost, 0.0f);
    GrowingMaps sink(selection, kMost, maps.data());
    EXPECT_TRUE(sink.Wants(0, 2));
    EXPECT_FALSE(sink.Wants(0, 1));
    for (int pass = 0; pass < 2; ++pass) {
      for (const LayerHead& item : {LayerHead{0, 1}, LayerHead{0, 2}, LayerHead{1, 0}}) {
        for (int begin = 0; begin < kept; begin += 4) {
          const int count = std::min(4, kept - begin);
          // Columns beyond a row's own token may hold anything.
          sink.Tile({item.layer, item.head, begin, count, begin + count,
                     sequence.Head(item.layer, item.head) + begin * 11, 11, nullptr});
        }
      }
    }
    sink.Shrink(kept);
    for (int m = 0; m < 2; ++m) {
      const float* head = m == 0 ? sequence.Head(0, 2) : sequence.Head(1, 0);
      for (int i = 0; i < kept; ++i) {
        for (int j = 0; j < kept; ++j) {
          ASSERT_EQ(maps[(m * kept + i) * kept + j], j <= i ? head[i * 11 + j] : 0.0f) << kept << " " << m << " " << i;
        }
      }
    }
  }
}

TEST(GrowingMapsTest, RowsBeyondTheMostAreDropped) {
  RandomSequence sequence(1, 1, 6, 5);
  std::vector<float> maps(5 * 5, 0.0f);
  GrowingMaps sink(HeadSelection::All(1, 1), 5, maps.data());
  sink.Tile({0, 0, 0, 6, 6, sequence.Head(0, 0), 6, nullptr});
  EXPECT_EQ(maps[4 * 5 + 4], sequence.Head(0, 0)[4 * 6 + 4]);
}

}  // namespace
}  // namespace attnd
