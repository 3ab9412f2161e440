#include "core/ops/attention_tiles.h"

#include <algorithm>
#include <cstddef>

#include "core/ops/attention_copies.h"
#include "core/ops/ukernel.h"

namespace attnd {
namespace {

constexpr int kParts = 3;  // products of halves
constexpr int kQueryHalves[kParts] = {0, 0, 1}, kKeyHalves[kParts] = {0, 1, 0};
constexpr int kMostRows = UkernelTable::kMaxRows;

BlockRows RowsOf(const AlignedBuffer<uint16_t>& rows, int columns, int count) {
  return {reinterpret_cast<const std::byte*>(rows.data()), columns * int64_t{sizeof(uint16_t)}, count};
}

}  // namespace

bool HasAttentionTiles(int head_dim, int value_dim) {
  return head_dim % kTileHalves == 0 && value_dim % kTileColumns == 0 && HasTileKernel(UkernelData::kBf16);
}

void PackTiles(const AttentionHead& head, AttentionScratch& scratch) {
  AttentionTileScratch& tiles = scratch.tiles;
  const int width = kParts * head.head_dim;
  tiles.split.Reserve(std::max<int64_t>(head.keys, kMostRows) * width);
  SplitRows(head.key, head.key_stride, head.keys, head.head_dim, kKeyHalves, tiles.split.data());
  // Two halves are packed as one value of 32 bits.
  const int blocks = (head.keys + kKeyBlock - 1) / kKeyBlock;
  scratch.keys.Reserve(int64_t{blocks} * kKeyBlock * width / 2);
  PackKeys(reinterpret_cast<const float*>(tiles.split.data()), head.keys, width / 2, width / 2, scratch.keys.data());
  const int padded = RoundUp(head.keys, kTileHalves);
  tiles.values.Reserve(int64_t{padded} / 2 * head.value_dim);
  PairRows(head.value, head.value_stride, head.keys, padded, head.value_dim, tiles.values.data());
}

void ScoreTiles(TileRegisters& registers, const AttentionHead& head, const float* query, int rows, int stride,
                AttentionScratch& scratch, float* scores) {
  const int width = kParts * head.head_dim;
  SplitRows(query, head.query_stride, rows, head.head_dim, kQueryHalves, scratch.tiles.split.data());
  for (int begin = 0; begin < head.keys; begin += kKeyBlock) {
    const int columns = (std::min(kKeyBlock, head.keys - begin) + kTileColumns - 1) / kTileColumns;
    const float* packed = scratch.keys.data() + int64_t{begin} * width / 2;
    const TileMatrix keys = {reinterpret_cast<const std::byte*>(packed), kKeyBlock * int64_t{sizeof(float)}, columns,
                             width / kTileHalves};
    MultiplyTiles(registers, RowsOf(scratch.tiles.split, width, rows), keys, scores + begin, stride);
  }
}

void WeighTiles(TileRegisters& registers, const AttentionHead& head, int rows, int stride, const float* probabilities,
                AttentionScratch& scratch, float* output) {
  AttentionTileScratch& tiles = scratch.tiles;
  const int padded = RoundUp(head.keys, kTileHalves);
  tiles.probabilities.Reserve(int64_t{kMostRows} * padded);
  RoundRows(probabilities, stride, rows, padded, tiles.probabilities.data());
  const TileMatrix values = {reinterpret_cast<const std::byte*>(tiles.values.data()),
                             head.value_dim * int64_t{sizeof(uint32_t)}, head.value_dim / kTileColumns,
                             padded / kTileHalves};
  MultiplyTiles(registers, RowsOf(tiles.probabilities, padded, rows), values, output, head.value_dim);
}

}  // namespace attnd
