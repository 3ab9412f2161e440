#include "core/ops/slice_kernel.h"

#include <algorithm>
#include <cstddef>

#include "core/ops/tile_kernel.h"
#include "hwy/base.h"

#if HWY_ARCH_X86_64
#include <immintrin.h>
#endif

namespace attnd {

#if HWY_ARCH_X86_64
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-int8")
namespace {

constexpr int kCacheLine = 64;
// How far behind what one tile of rows multiplies the fetched weights lie, in bytes.
constexpr int kAhead = 48 << 10;

// The registers: 0 to 4 are these sums, 5 rows, 6 and 7 weights. Their numbers are parts of the instructions.
// Sums of products of slices i and j, by i + j. Those of 2 are two: a register that is added to again at once waits.
enum Sum { kFirst, kSecond, kThird, kThirdToo, kFourth, kSums };

// Of stacked rows, up to 8, of which a register holds two slices, one below the other: five products for eight, and
// five loads for seven. Rows of slice 3 have others below them, whose products nobody reads.
enum StackedSum { kBothByFirst, kBothBySecond, kBothByThird, kThirdByFirst, kThirdBySecond };
constexpr int kStackedRows = kRegisterRows / 2;

struct alignas(kCacheLine) Sums {
  int32_t of[kSums][kRegisterRows * kTileColumns];
};

// Sums that wait to be made f32, and where they belong.
struct Pending {
  int rows;
  int height;  // of a slice that others are stacked on
  bool first;  // group: what c holds is not added to
  float* c;    // [rows, stride]
  int64_t stride;
  const float *row_scales, *weight_scales;
};

// Rows [begin, end) of them.
template <bool kStacked>
void Scale(const Pending& p, const Sums& sums, int begin, int end) {
  const __m512 weight_scale = _mm512_loadu_ps(p.weight_scales);
  const __m512 second_place = _mm512_set1_ps(0x1p-8f), third_place = _mm512_set1_ps(0x1p-16f);
  const __m512 fourth_place = _mm512_set1_ps(0x1p-24f);
  for (int r = begin; r < end; ++r) {
    const auto sum = [&](int s) { return _mm512_load_si512(sums.of[s] + r * kTileColumns); };
    const auto below = [&](int s) { return _mm512_load_si512(sums.of[s] + (p.height + r) * kTileColumns); };
    __m512i first, second, third, fourth;
    if constexpr (kStacked) {
      first = sum(kBothByFirst);
      second = _mm512_add_epi32(below(kBothByFirst), sum(kBothBySecond));
      third = _mm512_add_epi32(below(kBothBySecond), _mm512_add_epi32(sum(kBothByThird), sum(kThirdByFirst)));
      fourth = _mm512_add_epi32(below(kBothByThird), sum(kThirdBySecond));
    } else {
      first = sum(kFirst);
      second = sum(kSecond);
      third = _mm512_add_epi32(sum(kThird), sum(kThirdToo));
      fourth = sum(kFourth);
    }
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(fourth), fourth_place);
    value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(third), third_place, value);
    value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(second), second_place, value);
    value = _mm512_add_ps(_mm512_cvtepi32_ps(first), value);
    value = _mm512_mul_ps(value, weight_scale);
    const __m512 row_scale = _mm512_set1_ps(p.row_scales[r]);
    float* c = p.c + r * p.stride;
    value = p.first ? _mm512_mul_ps(value, row_scale) : _mm512_fmadd_ps(value, row_scale, _mm512_loadu_ps(c));
    _mm512_storeu_ps(c, value);
  }
}

// What is fetched in the course of the steps.
struct Fetch {
  const std::byte* next;
  int lines;  // a step
};

// What the products of a step add to the sums.
void AddProducts(const std::byte* a, int64_t slice_bytes, const std::byte* b) {
  constexpr int64_t kSlice = kSliceStepBytes / kSlices;
  _tile_loadd(5, a, kTileBytes);
  _tile_loadd(6, b, kTileBytes);
  _tile_dpbssd(0, 5, 6);
  _tile_loadd(7, b + kSlice, kTileBytes);
  _tile_dpbssd(1, 5, 7);
  _tile_loadd(6, b + 2 * kSlice, kTileBytes);
  _tile_dpbssd(2, 5, 6);
  _tile_loadd(5, a + slice_bytes, kTileBytes);
  _tile_dpbssd(4, 5, 6);
  _tile_dpbssd(3, 5, 7);
  _tile_loadd(6, b, kTileBytes);
  _tile_dpbssd(1, 5, 6);
  _tile_loadd(5, a + 2 * slice_bytes, kTileBytes);
  _tile_dpbssd(2, 5, 6);
  _tile_dpbssd(4, 5, 7);
}

void AddStackedProducts(const std::byte* a, int64_t slice_bytes, const std::byte* b) {
  constexpr int64_t kSlice = kSliceStepBytes / kSlices;
  _tile_loadd(5, a + 2 * slice_bytes, kTileBytes);
  _tile_loadd(6, b, kTileBytes);
  _tile_dpbssd(3, 5, 6);
  _tile_loadd(7, b + kSlice, kTileBytes);
  _tile_dpbssd(4, 5, 7);
  _tile_loadd(5, a, kTileBytes);
  _tile_dpbssd(0, 5, 6);
  _tile_dpbssd(1, 5, 7);
  _tile_loadd(6, b + 2 * kSlice, kTileBytes);
  _tile_dpbssd(2, 5, 6);
}

// Sums of one tile of rows by one of columns. Those before are made f32 meanwhile, some rows a step: the vectors' units
// have nothing else to do, and what is behind the last step would wait for it.
template <bool kStacked>
void AddSteps(const std::byte* a, int64_t slice_bytes, const std::byte* b, int steps, Fetch& fetch,
              const Pending& pending, const Sums& sums) {
  const int rows = hwy::DivCeil(pending.rows, steps);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  for (int s = 0; s < steps; ++s, a += kSlices * slice_bytes, b += kSliceStepBytes) {
    for (int i = 0; i < fetch.lines; ++i, fetch.next += kCacheLine) _mm_prefetch(fetch.next, _MM_HINT_T1);
    kStacked ? AddStackedProducts(a, slice_bytes, b) : AddProducts(a, slice_bytes, b);
    Scale<kStacked>(pending, sums, std::min(pending.rows, s * rows), std::min(pending.rows, (s + 1) * rows));
  }
}

void StoreSums(Sums& sums) {
  _tile_stored(0, sums.of[kFirst], kTileBytes);
  _tile_stored(1, sums.of[kSecond], kTileBytes);
  _tile_stored(2, sums.of[kThird], kTileBytes);
  _tile_stored(3, sums.of[kThirdToo], kTileBytes);
  _tile_stored(4, sums.of[kFourth], kTileBytes);
}

template <bool kStacked>
void Multiply(const BlockRows& rows, const BlockWeights& weights, int columns, const GroupScales& scales, float* c,
              int64_t stride) {
  asm volatile("" ::: "memory");  // g++ does not know that loads of tiles read memory
  const int tiles = TileCount(rows.count), height = TileHeight(rows.count);
  const int64_t slice_bytes = int64_t{height} * kTileBytes;
  const int steps = weights.k / kTileBytes;
  const int64_t group_bytes = kBlockTiles * steps * kSliceStepBytes;
  // One tile of rows reads the weights from end to end; several pass over a group in turn, and fetch a part each of the
  // next one.
  const int64_t ahead = tiles == 1 ? kAhead : group_bytes;
  Fetch fetch = {weights.first + ahead, weights.fetch ? static_cast<int>(kSliceStepBytes / kCacheLine) / tiles : 0};
  Sums sums;  // one, for L1 is full of the tiles' inputs
  Pending pending = {.rows = 0, .height = height, .stride = stride, .weight_scales = scales.weight_scales};
  for (int g = 0; g < scales.groups; ++g) {
    for (int tile = 0; tile < tiles; ++tile) {
      const int row = tile * height;
      const std::byte* a = rows.first + row * rows.stride + g * steps * kSlices * slice_bytes;
      for (int column = 0; column < columns; ++column) {
        const std::byte* b = weights.first + g * group_bytes + column * steps * kSliceStepBytes;
        AddSteps<kStacked>(a, slice_bytes, b, steps, fetch, pending, sums);
        StoreSums(sums);
        pending.rows = std::min(height, rows.count - row);
        pending.first = g == 0;
        pending.c = c + row * stride + column * kTileColumns;
        pending.row_scales = scales.row_scales + g * scales.row_stride + row;
        pending.weight_scales = scales.weight_scales + g * scales.column_stride + column * kTileColumns;
      }
    }
  }
  Scale<kStacked>(pending, sums, 0, pending.rows);
}

}  // namespace
HWY_POP_ATTRIBUTES

void MultiplySlices(TileRegisters& registers, const BlockRows& rows, const BlockWeights& weights, int columns,
                    const GroupScales& scales, float* c, int64_t stride) {
  if (rows.count <= kStackedRows) {
    registers.Configure(2 * rows.count);
    return Multiply</*kStacked=*/true>(rows, weights, columns, scales, c, stride);
  }
  registers.Configure(TileHeight(rows.count));
  Multiply</*kStacked=*/false>(rows, weights, columns, scales, c, stride);
}

#else

void MultiplySlices(TileRegisters&, const BlockRows&, const BlockWeights&, int, const GroupScales&, float*, int64_t) {
  HWY_ABORT("no AMX");
}

#endif

}  // namespace attnd
