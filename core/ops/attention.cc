#include "core/ops/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/ops/attention_copies.h"
#include "core/ops/attention_tiles.h"
#include "core/ops/softmax.h"
#include "core/ops/ukernel.h"

namespace attnd {
namespace {

constexpr int kQueryBlock = 64;  // rows of scores that stay in L2
// Rows of a value block are kKeyBlock, too.

// Columns of probabilities are 0 from the last key to a multiple of this, which tiles read; others read 16.
constexpr int kPaddedKeys = kTileHalves;
// From so many on a head goes through tiles: fewer do not make up for the copies.
constexpr int kTiledKeys = 128;

// Query rows a block takes: fewer for long rows, so that the scores stay in cache.
int QueryBlock(int stride) { return stride <= 1040 ? kQueryBlock : stride <= 4112 ? 32 : 8; }

struct KeyRange {
  int begin, end;
};

// The keys that a block of queries sees through its window.
KeyRange VisibleKeys(const AttentionHead& head, int query_begin, int query_count) {
  if (head.window < 0) return {0, head.keys};
  const int64_t first = int64_t{query_begin} + head.keys - head.queries - head.window;
  const int64_t end = int64_t{query_begin} + query_count + head.keys - head.queries + head.window;
  // At least one key, so that a block that sees none is computed as a row of hidden scores.
  const int begin = static_cast<int>(std::clamp<int64_t>(first, 0, head.keys - 1));
  return {begin, static_cast<int>(std::clamp<int64_t>(end, begin + 1, head.keys))};
}

// scores = scores * scale + bias.
void AddBias(const AttentionHead& head, KeyRange keys, int query_begin, int query_count, int stride, float* scores) {
  for (int r = 0; r < query_count; ++r) {
    const float* bias = head.bias + (query_begin + r) * head.bias_stride + keys.begin;
    float* row = scores + int64_t{r} * stride;
    for (int k = 0; k < keys.end - keys.begin; ++k) row[k] = row[k] * head.scale + bias[k];
  }
}

// -infinity where a query must not see a key. `scores` holds the columns of `keys`.
void HideScores(const AttentionHead& head, KeyRange keys, int query_begin, int query_count, int stride, float* scores) {
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  const int count = keys.end - keys.begin;
  for (int r = 0; r < query_count; ++r) {
    float* row = scores + int64_t{r} * stride;
    const int query = query_begin + r;
    if (head.mask != nullptr) {
      const uint8_t* mask = head.mask + query * head.mask_stride + keys.begin;
      for (int k = 0; k < count; ++k) {
        if (mask[k] == 0) row[k] = kHidden;
      }
    }
    const int64_t own = int64_t{query} + head.keys - head.queries - keys.begin;  // the query's own key, as a column
    if (head.causal) std::fill(row + std::clamp<int64_t>(own + 1, 0, count), row + count, kHidden);
    if (head.window >= 0) {
      std::fill(row, row + std::clamp<int64_t>(own - head.window, 0, count), kHidden);
      std::fill(row + std::clamp<int64_t>(own + head.window + 1, 0, count), row + count, kHidden);
    }
  }
}

// scores[rows, keys] = Q K^T.
void Scores(const AttentionHead& head, const float* query, int query_stride, int rows, int stride, const float* packed,
            float* scores) {
  for (int begin = 0; begin < head.keys; begin += kKeyBlock) {
    const int columns = RoundUp(std::min(kKeyBlock, head.keys - begin), 16);
    const UkernelTable* kernel =
        GetUkernelTable({.n = columns, .k = head.head_dim, .lda = query_stride, .ldb = kKeyBlock, .ldc = stride});
    kernel->Run(rows, query, packed + int64_t{begin} * head.head_dim, scores + begin);
  }
}

// output[rows, value_dim] = P V. `tail` holds the last partial 16 rows of V, padded with 0.
void WeighValues(const AttentionHead& head, int rows, int stride, const float* probabilities, const float* tail,
                 float* output) {
  const int whole = head.keys / 16 * 16;
  for (int column = 0; column < head.value_dim; column += 64) {
    const int columns = std::min(64, head.value_dim - column);
    bool accumulate = false;
    for (int begin = 0; begin < whole; begin += kKeyBlock) {
      const int keys = std::min(kKeyBlock, whole - begin);
      const UkernelTable* kernel = GetUkernelTable({.n = columns,
                                                    .k = keys,
                                                    .lda = stride,
                                                    .ldb = head.value_stride,
                                                    .ldc = head.value_dim,
                                                    .accumulate = accumulate});
      kernel->Run(rows, probabilities + begin, head.value + int64_t{begin} * head.value_stride + column,
                  output + column);
      accumulate = true;
    }
    if (whole < head.keys) {
      const UkernelTable* kernel = GetUkernelTable({.n = columns,
                                                    .k = 16,
                                                    .lda = stride,
                                                    .ldb = head.value_dim,
                                                    .ldc = head.value_dim,
                                                    .accumulate = accumulate});
      kernel->Run(rows, probabilities + whole, tail + column, output + column);
    }
  }
}

// `head` with the keys of `range` only. Its mask and bias stay those of the whole.
AttentionHead Restrict(const AttentionHead& head, KeyRange range) {
  AttentionHead part = head;
  part.key += int64_t{range.begin} * head.key_stride;
  part.value += int64_t{range.begin} * head.value_stride;
  part.keys = range.end - range.begin;
  return part;
}

// What the kernels read of the keys and values of `part`.
void Pack(const AttentionHead& part, AttentionScratch& scratch) {
  const int key_blocks = (part.keys + kKeyBlock - 1) / kKeyBlock;
  scratch.keys.Reserve(int64_t{key_blocks} * kKeyBlock * part.head_dim);
  scratch.value.Reserve(int64_t{16} * part.value_dim);
  PackKeys(part.key, part.keys, part.key_stride, part.head_dim, scratch.keys.data());
  const int whole = part.keys / 16 * 16;
  if (whole == part.keys) return;
  // The kernel takes 16 keys: rows beyond the last must be finite, for they meet probability 0.
  std::fill(scratch.value.data(), scratch.value.data() + 16 * part.value_dim, 0.0f);
  for (int k = whole; k < part.keys; ++k) {
    std::memcpy(scratch.value.data() + (k - whole) * part.value_dim, part.value + int64_t{k} * part.value_stride,
                part.value_dim * sizeof(float));
  }
}

// The rows of a windowed block among all keys: zeros where nothing was computed.
const float* Widen(const AttentionHead& head, KeyRange range, int count, int stride, int wide_stride,
                   AttentionScratch& scratch) {
  scratch.wide.Reserve(int64_t{count} * wide_stride);
  for (int r = 0; r < count; ++r) {
    float* row = scratch.wide.data() + int64_t{r} * wide_stride;
    const float* from = scratch.scores.data() + int64_t{r} * stride;
    std::fill(row, row + range.begin, 0.0f);
    std::copy(from, from + (range.end - range.begin), row + range.begin);
    std::fill(row + range.end, row + head.keys, 0.0f);
  }
  return scratch.wide.data();
}

}  // namespace

void AttendRows(const AttentionHead& head, int query_begin, int query_end, AttentionScratch& scratch,
                const ProbabilityFn* probabilities) {
  const int most_keys = head.window < 0
                            ? head.keys
                            : static_cast<int>(std::min<int64_t>(head.keys, int64_t{2} * head.window + kQueryBlock));
  const int stride = ScoreStride(most_keys);
  const int block = QueryBlock(stride);
  scratch.scores.Reserve(int64_t{block} * stride);
  scratch.query.Reserve(int64_t{block} * head.head_dim);
  scratch.output.Reserve(int64_t{block} * head.value_dim);
  scratch.entropy.Reserve(block);
  scratch.inverses.Reserve(block);

  const bool tiles = head.rounded && head.keys >= kTiledKeys && HasAttentionTiles(head.head_dim, head.value_dim);
  TileRegisters registers;

  KeyRange packed = {0, 0};
  for (int begin = query_begin; begin < query_end; begin += block) {
    const int count = std::min(block, query_end - begin);
    const KeyRange range = VisibleKeys(head, begin, count);
    const AttentionHead part = Restrict(head, range);
    if (range.begin != packed.begin || range.end != packed.end) {
      tiles ? PackTiles(part, scratch) : Pack(part, scratch);
      packed = range;
    }
    const int rows = UkernelTable::RoundRows(count);
    const float* query = head.query + int64_t{begin} * head.query_stride;
    int query_stride = head.query_stride;
    if (rows != count && !tiles) {
      // The kernel reads whole rounds of rows, which the caller's tensor may not have.
      std::fill(scratch.query.data() + int64_t{count} * head.head_dim,
                scratch.query.data() + int64_t{rows} * head.head_dim, 0.0f);
      for (int r = 0; r < count; ++r) {
        std::memcpy(scratch.query.data() + r * head.head_dim, query + int64_t{r} * head.query_stride,
                    head.head_dim * sizeof(float));
      }
      query = scratch.query.data();
      query_stride = head.head_dim;
    }
    float* scores = scratch.scores.data();
    if (tiles) {
      ScoreTiles(registers, part, query, count, stride, scratch, scores);
    } else {
      Scores(part, query, query_stride, rows, stride, scratch.keys.data(), scores);
    }
    float scale = head.scale;
    if (head.bias != nullptr) {
      AddBias(head, range, begin, count, stride, scores);
      scale = 1.0f;
    } else if (scale <= 0) {
      // Softmax shifts by the largest score, which a scale that is not positive would turn round.
      for (int64_t i = 0; i < int64_t{count} * stride; ++i) scores[i] *= scale;
      scale = 1.0f;
    }
    HideScores(head, range, begin, count, stride, scores);
    // Where nobody looks at the probabilities the output is scaled instead.
    float* entropy = probabilities == nullptr ? nullptr : scratch.entropy.data();
    float* inverses = probabilities == nullptr ? scratch.inverses.data() : nullptr;
    SoftmaxRows(scale, count, part.keys, RoundUp(part.keys, kPaddedKeys), stride, scores, inverses, entropy);
    if (probabilities != nullptr) {
      const bool whole = part.keys == head.keys;
      const int shown_stride = whole ? stride : ScoreStride(head.keys);
      const float* shown = whole ? scores : Widen(head, range, count, stride, shown_stride, scratch);
      (*probabilities)(begin, count, shown, shown_stride, entropy);
    }
    if (tiles) {
      WeighTiles(registers, part, count, stride, scores, scratch, scratch.output.data());
    } else {
      WeighValues(part, rows, stride, scores, scratch.value.data(), scratch.output.data());
    }
    ScaleRows(scratch.output.data(), head.value_dim, inverses, count, head.value_dim,
              head.output + int64_t{begin} * head.output_stride, head.output_stride);
  }
}

}  // namespace attnd
