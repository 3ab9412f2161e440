#include "core/ops/paged_attention.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "core/ops/paged_kernels.h"
#include "core/ops/softmax.h"
#include "core/ops/ukernel.h"

namespace attnd {
namespace {

constexpr int kTokens = KvPages::kTokens;
constexpr float kHidden = -std::numeric_limits<float>::infinity();

constexpr int kRowBlock = 64;        // query rows of a tile: scores stay in L2
constexpr int kRowsOneByOne = 3;     // fewer rows are cheaper one at a time
constexpr int kOnlineKeys = 1024;    // longer rows go through the online softmax, where nobody wants to see them
constexpr int kOnlineColumns = 512;  // columns of a step of it

int RowBlock(int stride) { return stride <= 1040 ? kRowBlock : stride <= 4112 ? 32 : 16; }

// First key that a row at `position` sees.
int WindowBegin(const PagedHeads& heads, int position) {
  return heads.window > 0 ? std::max(0, position + 1 - heads.window) : 0;
}

// -infinity where rows [row_begin, row_begin + rows) must not see keys [first_key, first_key + columns).
void Hide(const PagedHeads& heads, int row_begin, int rows, int first_key, int columns, int64_t stride, float* scores) {
  for (int r = 0; r < rows; ++r) {
    float* row = scores + r * stride;
    const int position = heads.first + row_begin + r;
    const int begin = std::clamp(WindowBegin(heads, position) - first_key, 0, columns);
    const int end = std::clamp(position + 1 - first_key, 0, columns);
    std::fill(row, row + begin, kHidden);
    std::fill(row + end, row + columns, kHidden);
  }
}

class Tile {
 public:
  Tile(const PagedHeads& heads, PagedScratch& scratch)
      : heads_(heads), scratch_(scratch), dim_(heads.pages->shape().head_dim) {}

  // Makes pages [page, page + count) ready to be multiplied: narrow ones are widened once for all heads.
  void Use(int page, int count) {
    if (heads_.pages->shape().type == KvType::kF32 || (page == first_ && count == count_)) return;
    const int64_t size = int64_t{2} * kTokens * dim_;
    scratch_.block.Reserve(size * count);
    for (int p = 0; p < count; ++p) {
      heads_.pages->ReadF32(heads_.layer, heads_.table[page + p], heads_.key_head, scratch_.block.data() + p * size);
    }
    first_ = page;
    count_ = count;
  }

  // scores[rows, stride] = Q K^T for pages [page, page + count).
  void Scores(const float* query, int rows, int page, int count, int stride, float* scores) const {
    const UkernelTable* kernel = GetUkernelTable(
        {.n = kTokens, .k = dim_, .lda = static_cast<int>(heads_.query_stride), .ldb = kTokens, .ldc = stride});
    for (int p = 0; p < count; ++p) kernel->Run(rows, query, Block(page + p), scores + p * kTokens);
  }

  // output[rows, dim] (+)= P V for pages [page, page + count).
  void Values(const float* probabilities, int stride, int rows, int page, int count, bool accumulate,
              float* output) const {
    for (int column = 0; column < dim_; column += 64) {
      UkernelShape shape{.n = std::min(64, dim_ - column),
                         .k = kTokens,
                         .lda = stride,
                         .ldb = dim_,
                         .ldc = dim_,
                         .accumulate = accumulate};
      const UkernelTable* first = GetUkernelTable(shape);
      shape.accumulate = true;
      const UkernelTable* rest = GetUkernelTable(shape);
      for (int p = 0; p < count; ++p) {
        const float* values = Block(page + p) + kTokens * dim_;
        (p == 0 ? first : rest)->Run(rows, probabilities + p * kTokens, values + column, output + column);
      }
    }
  }

 private:
  const float* Block(int index) const {
    if (count_ > 0) return scratch_.block.data() + int64_t{index - first_} * 2 * kTokens * dim_;
    return heads_.pages->ReadF32(heads_.layer, heads_.table[index], heads_.key_head, nullptr);
  }

  const PagedHeads& heads_;
  PagedScratch& scratch_;
  const int dim_;
  int first_ = 0, count_ = 0;  // pages that are widened in scratch_.block; 0: they are f32 already
};

// One row of all heads at a time: a decoding step.
void AttendOneRow(const PagedHeads& heads, int row, PagedScratch& scratch, const PagedProbabilityFn* probabilities,
                  int keys) {
  const int position = heads.first + row;
  const int begin = WindowBegin(heads, position);
  // Columns from position 0 on where somebody looks, else from the first visible page.
  const int first_page = begin / kTokens;
  const int column0 = probabilities != nullptr ? 0 : first_page * kTokens;
  const int count = position / kTokens + 1 - first_page;
  const int columns = std::max(keys, position + 1) - column0;
  const int stride = RoundUp(columns, kTokens) + kTokens;
  scratch.scores.Reserve(int64_t{heads.heads} * stride);
  float* scores = scratch.scores.data();
  const int skipped = first_page * kTokens - column0;  // columns of pages that are not visible
  float* visible = scores + skipped;
  ScoreRow(*heads.pages, heads.layer, heads.key_head, heads.table + first_page, count,
           heads.query + row * heads.query_stride, heads.heads, stride, visible);
  for (int h = 0; h < heads.heads; ++h) {
    float* scores_of_head = scores + int64_t{h} * stride;
    float* visible_of_head = visible + int64_t{h} * stride;
    std::fill(scores_of_head, visible_of_head, 0.0f);
    std::fill_n(visible_of_head, begin - first_page * kTokens, kHidden);
    SoftmaxRows(heads.scale, 1, position + 1 - first_page * kTokens, stride - skipped, stride, visible_of_head);
    if (probabilities != nullptr) (*probabilities)(h, row, 1, scores_of_head, stride, keys);
  }
  float* output = heads.output + row * heads.output_stride;
  WeighRow(*heads.pages, heads.layer, heads.key_head, heads.table + first_page, count, visible, stride, heads.heads,
           output);
}

// A block of rows of one head with its whole rows of probabilities in cache.
void AttendFullRows(const PagedHeads& heads, int head, int row, int count, Tile& tile, PagedScratch& scratch,
                    const PagedProbabilityFn* probabilities, int keys) {
  const int dim = heads.pages->shape().head_dim;
  const int last = heads.first + row + count - 1;
  const int first_page = WindowBegin(heads, heads.first + row) / kTokens;
  const int pages = last / kTokens + 1 - first_page;
  const int column0 = probabilities != nullptr ? 0 : first_page * kTokens;
  const int columns = std::max((first_page + pages) * kTokens, keys) - column0;
  const int stride = ScoreStride(columns);
  const int rows = UkernelTable::RoundRows(count);
  scratch.scores.Reserve(int64_t{rows} * stride);
  scratch.output.Reserve(int64_t{rows} * dim);
  scratch.sums.Reserve(rows);
  float* scores = scratch.scores.data();
  const int skipped = first_page * kTokens - column0;  // columns of pages that are not visible
  float* visible = scores + skipped;
  tile.Use(first_page, pages);
  tile.Scores(heads.query + row * heads.query_stride + head * dim, rows, first_page, pages, stride, visible);
  Hide(heads, row, count, first_page * kTokens, pages * kTokens, stride, visible);
  SoftmaxRows(heads.scale, count, pages * kTokens, columns - skipped, stride, visible, scratch.sums.data());
  tile.Values(visible, stride, rows, first_page, pages, /*accumulate=*/false, scratch.output.data());
  ScaleRows(scratch.output.data(), dim, scratch.sums.data(), count, dim,
            heads.output + row * heads.output_stride + head * dim, heads.output_stride);
  if (probabilities == nullptr) return;
  // The output does not depend on whether somebody looks: the same sums, scaled last.
  ScaleRows(visible, stride, scratch.sums.data(), count, pages * kTokens, visible, stride);
  for (int r = 0; r < count; ++r) std::fill_n(scores + int64_t{r} * stride, skipped, 0.0f);
  (*probabilities)(head, row, count, scores, stride, keys);
}

// All heads of a block without whole rows: memory does not grow with the keys.
void AttendOnline(const PagedHeads& heads, int row, int count, Tile& tile, PagedScratch& scratch) {
  const int dim = heads.pages->shape().head_dim;
  const int rows = UkernelTable::RoundRows(count);
  constexpr int kStride = kOnlineColumns + 16;
  constexpr int kPages = kOnlineColumns / kTokens;
  const int64_t all = int64_t{heads.heads} * rows;
  scratch.scores.Reserve(int64_t{rows} * kStride);
  scratch.output.Reserve(all * dim);
  scratch.maxima.Reserve(all);
  scratch.sums.Reserve(all);
  float* scores = scratch.scores.data();
  std::fill_n(scratch.maxima.data(), all, kHidden);
  std::fill_n(scratch.sums.data(), all, 0.0f);
  std::fill_n(scratch.output.data(), all * dim, 0.0f);
  const int last_page = (heads.first + row + count - 1) / kTokens;
  for (int page = WindowBegin(heads, heads.first + row) / kTokens; page <= last_page; page += kPages) {
    const int pages = std::min(kPages, last_page + 1 - page);
    tile.Use(page, pages);
    for (int head = 0; head < heads.heads; ++head) {
      const int64_t at = int64_t{head} * rows;
      float* output = scratch.output.data() + at * dim;
      tile.Scores(heads.query + row * heads.query_stride + head * dim, rows, page, pages, kStride, scores);
      Hide(heads, row, count, page * kTokens, pages * kTokens, kStride, scores);
      OnlineSoftmaxStep(heads.scale, count, pages * kTokens, kStride, scores, scratch.maxima.data() + at,
                        scratch.sums.data() + at, dim, output);
      tile.Values(scores, kStride, rows, page, pages, /*accumulate=*/true, output);
    }
  }
  for (int head = 0; head < heads.heads; ++head) {
    for (int r = 0; r < count; ++r) {
      const int64_t at = int64_t{head} * rows + r;
      float* to = heads.output + (row + r) * heads.output_stride + head * dim;
      const float inverse = 1.0f / scratch.sums[at];  // every row sees its own key at least
      for (int c = 0; c < dim; ++c) to[c] = scratch.output[at * dim + c] * inverse;
    }
  }
}

}  // namespace

void AttendPaged(const PagedHeads& heads, int row_begin, int row_end, PagedScratch& scratch,
                 const PagedProbabilityFn* probabilities, int keys) {
  assert(heads.scale > 0);
  if (probabilities == nullptr) keys = 0;
  if (row_end - row_begin <= kRowsOneByOne) {
    for (int row = row_begin; row < row_end; ++row) AttendOneRow(heads, row, scratch, probabilities, keys);
    return;
  }
  const int span = heads.first + row_end - (probabilities == nullptr ? WindowBegin(heads, heads.first + row_begin) : 0);
  const bool online = probabilities == nullptr && span > kOnlineKeys;
  const int block = online ? kRowBlock : RowBlock(ScoreStride(std::max(span + kTokens, keys)));
  Tile tile(heads, scratch);
  for (int row = row_begin; row < row_end; row += block) {
    const int count = std::min(block, row_end - row);
    if (online) {
      AttendOnline(heads, row, count, tile, scratch);
      continue;
    }
    for (int head = 0; head < heads.heads; ++head) {
      AttendFullRows(heads, head, row, count, tile, scratch, probabilities, keys);
    }
  }
}

}  // namespace attnd
