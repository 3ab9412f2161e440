#include "core/ops/tile_kernel.h"

#include <algorithm>
#include <cstddef>

#include "core/base/cpu.h"
#include "hwy/base.h"

#if HWY_ARCH_X86_64
#include <immintrin.h>
#endif

namespace attnd {

#if HWY_ARCH_X86_64
HWY_PUSH_ATTRIBUTES("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-int8,amx-bf16")
namespace {

constexpr int64_t kWeightStride = kBlockTiles * kTileBytes;    // from one row of tiles of weights to the next
constexpr int64_t kStepBytes = kRegisterRows * kWeightStride;  // of a block, by kTileBytes of a row of activations
constexpr int kCacheLine = 64;
// Steps of bf16 whose weights stay in L1 while all rows pass over them.
constexpr int kChunkSteps = 8;
// How far behind what is multiplied the weights are fetched, as by BlockKernel.
constexpr int64_t kAhead = 36 << 10;

// What one step multiplies: tiles of rows, at `a` and `second` bytes further on, by tiles of weights side by side.
struct Operands {
  const std::byte* a;
  int64_t stride;  // bytes from one row of a to the next
  int64_t second;
  const std::byte* b;
  int64_t b_stride;
};

// The registers: 0 to 3 are sums, 4 and 5 rows, 6 and 7 weights. Their numbers are parts of the instructions, so each
// shape is written out. Two registers of each, for one that is loaded again waits for whoever reads it.
#define ATTND_MULTIPLY(sum, rows, weights) \
  if constexpr (kInt8) {                   \
    _tile_dpbusd(sum, rows, weights);      \
  } else {                                 \
    _tile_dpbf16ps(sum, rows, weights);    \
  }

// Two tiles of rows by two of weights: sums 0 and 1 are of the first rows, 2 and 3 of the second.
struct TwoByTwo {
  static constexpr int kRows = 2, kColumns = 2;
  template <bool kInt8>
  static void Step(const Operands& x) {
    _tile_loadd(4, x.a, x.stride);
    _tile_loadd(6, x.b, x.b_stride);
    ATTND_MULTIPLY(0, 4, 6);
    _tile_loadd(5, x.a + x.second, x.stride);
    ATTND_MULTIPLY(2, 5, 6);
    _tile_loadd(7, x.b + kTileBytes, x.b_stride);
    ATTND_MULTIPLY(1, 4, 7);
    ATTND_MULTIPLY(3, 5, 7);
  }
};

struct TwoByOne {
  static constexpr int kRows = 2, kColumns = 1;
  template <bool kInt8>
  static void Step(const Operands& x) {
    _tile_loadd(4, x.a, x.stride);
    _tile_loadd(6, x.b, x.b_stride);
    ATTND_MULTIPLY(0, 4, 6);
    _tile_loadd(5, x.a + x.second, x.stride);
    ATTND_MULTIPLY(1, 5, 6);
  }
};

struct OneByThree {
  static constexpr int kRows = 1, kColumns = 3;
  template <bool kInt8>
  static void Step(const Operands& x) {
    _tile_loadd(4, x.a, x.stride);
    _tile_loadd(6, x.b, x.b_stride);
    ATTND_MULTIPLY(0, 4, 6);
    _tile_loadd(7, x.b + kTileBytes, x.b_stride);
    ATTND_MULTIPLY(1, 4, 7);
    _tile_loadd(6, x.b + 2 * kTileBytes, x.b_stride);
    ATTND_MULTIPLY(2, 4, 6);
  }
};

struct OneByOne {
  static constexpr int kRows = 1, kColumns = 1;
  template <bool kInt8>
  static void Step(const Operands& x) {
    _tile_loadd(4, x.a, x.stride);
    _tile_loadd(6, x.b, x.b_stride);
    ATTND_MULTIPLY(0, 4, 6);
  }
};

#undef ATTND_MULTIPLY

// Where one of a shape's tiles of sums lies in c, [kRows * rows of a tile, stride].
template <class Shape, typename T>
T* TileOf(T* c, int64_t stride, int rows, int tile) {
  return c + tile / Shape::kColumns * rows * stride + tile % Shape::kColumns * kTileColumns;
}

void ClearSums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

template <class Shape>
void LoadSums(const float* c, int64_t stride, int rows) {
  const int64_t bytes = stride * static_cast<int64_t>(sizeof(float));
  _tile_loadd(0, TileOf<Shape>(c, stride, rows, 0), bytes);
  if constexpr (Shape::kRows * Shape::kColumns > 1) _tile_loadd(1, TileOf<Shape>(c, stride, rows, 1), bytes);
  if constexpr (Shape::kRows * Shape::kColumns > 2) _tile_loadd(2, TileOf<Shape>(c, stride, rows, 2), bytes);
  if constexpr (Shape::kRows * Shape::kColumns > 3) _tile_loadd(3, TileOf<Shape>(c, stride, rows, 3), bytes);
}

template <class Shape, typename T>
void StoreSums(T* c, int64_t stride, int rows) {
  const int64_t bytes = stride * static_cast<int64_t>(sizeof(T));
  _tile_stored(0, TileOf<Shape>(c, stride, rows, 0), bytes);
  if constexpr (Shape::kRows * Shape::kColumns > 1) _tile_stored(1, TileOf<Shape>(c, stride, rows, 1), bytes);
  if constexpr (Shape::kRows * Shape::kColumns > 2) _tile_stored(2, TileOf<Shape>(c, stride, rows, 2), bytes);
  if constexpr (Shape::kRows * Shape::kColumns > 3) _tile_stored(3, TileOf<Shape>(c, stride, rows, 3), bytes);
}

// What is fetched in the course of the steps.
struct Fetch {
  const std::byte* next;
  int lines;  // a step
};

// meanwhile(s) after each step s: tiles do not wait for vectors.
template <class Shape, bool kInt8, class Meanwhile>
void AddSteps(Operands x, int steps, Fetch& fetch, const Meanwhile& meanwhile) {
  for (int s = 0; s < steps; ++s, x.a += kTileBytes, x.b += kRegisterRows * x.b_stride) {
    for (int i = 0; i < fetch.lines; ++i, fetch.next += kCacheLine) _mm_prefetch(fetch.next, _MM_HINT_T1);
    Shape::template Step<kInt8>(x);
    meanwhile(s);
  }
}

// Tiles of rows.
struct Tiles {
  explicit Tiles(int count) : number(TileCount(count)), rows(TileHeight(count)) {}
  int number;
  int rows;  // of each
};

// A step: as many bytes are fetched as are multiplied, by each pass of rows its part.
int FetchedLines(const BlockWeights& weights, const Tiles& tiles) {
  const int passes = (tiles.number + 1) / 2;
  return weights.fetch ? static_cast<int>(kStepBytes / kCacheLine) / passes : 0;
}

// run(shape, first tile of rows, first tile of columns) for the shapes that the sums consist of.
template <class Run>
void ForShapes(const Tiles& tiles, int columns, const Run& run) {
  int tile = 0;
  for (; tile + 2 <= tiles.number; tile += 2) {
    int column = 0;
    for (; column + 2 <= columns; column += 2) run(TwoByTwo(), tile, column);
    if (column < columns) run(TwoByOne(), tile, column);
  }
  if (tile == tiles.number) return;
  int column = 0;
  for (; column + 3 <= columns; column += 3) run(OneByThree(), tile, column);
  for (; column < columns; ++column) run(OneByOne(), tile, column);
}

// Sums of bytes that wait to be scaled, and where they belong.
struct Pending {
  const int32_t* sums;  // [rows, kPendingStride]
  int rows;             // 0: none
  int vectors;          // of kTileColumns columns
  bool first;           // group: what c holds is not added to
  float* c;
  const float *row_scales, *row_offsets, *weight_scales, *weight_sums;
};
constexpr int kPendingStride = kBlockTiles * kTileColumns;

// Rows [begin, end). The operations are those of ScaleSums, in their order.
void Scale(const Pending& p, int64_t stride, int begin, int end) {
  for (int v = 0; v < p.vectors; ++v) {
    const __m512 weight_scale = _mm512_loadu_ps(p.weight_scales + v * kTileColumns);
    const __m512 weight_sum = _mm512_loadu_ps(p.weight_sums + v * kTileColumns);
    const int32_t* sums = p.sums + begin * kPendingStride + v * kTileColumns;
    float* c = p.c + begin * stride + v * kTileColumns;
    for (int r = begin; r < end; ++r, sums += kPendingStride, c += stride) {
      __m512 value = p.first ? _mm512_setzero_ps() : _mm512_loadu_ps(c);
      const __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(sums)), weight_scale);
      value = _mm512_fmadd_ps(sum, _mm512_set1_ps(p.row_scales[r]), value);
      value = _mm512_fmadd_ps(weight_sum, _mm512_set1_ps(p.row_offsets[r]), value);
      _mm512_storeu_ps(c, value);
    }
  }
}

void MultiplyBf16(const Tiles& tiles, const BlockRows& rows, const TileMatrix& matrix, int fetched_lines, float* c,
                  int64_t stride) {
  for (int begin = 0; begin < matrix.steps; begin += kChunkSteps) {
    const int steps = std::min(kChunkSteps, matrix.steps - begin);
    const std::byte* b = matrix.first + begin * kRegisterRows * matrix.stride;
    Fetch fetch = {b + kAhead, fetched_lines}, none = {b, 0};
    ForShapes(tiles, matrix.columns, [&](auto shape, int tile, int column) {
      using Shape = decltype(shape);
      const int64_t row = int64_t{tile} * tiles.rows;
      float* to = c + row * stride + column * kTileColumns;
      if (begin == 0) {
        ClearSums();
      } else {
        LoadSums<Shape>(to, stride, tiles.rows);
      }
      const Operands x = {rows.first + row * rows.stride + int64_t{begin} * kTileBytes, rows.stride,
                          tiles.rows * rows.stride, b + column * kTileBytes, matrix.stride};
      AddSteps<Shape, false>(x, steps, column == 0 ? fetch : none, [](int) {});
      StoreSums<Shape>(to, stride, tiles.rows);
    });
  }
}

void MultiplyBytes(const Tiles& tiles, const BlockRows& rows, const BlockWeights& weights, const GroupScales& scales,
                   float* c, int64_t stride) {
  // Sums are scaled between the steps of the next.
  alignas(kCacheLine) int32_t sums[2 * kRegisterRows * kPendingStride];
  Pending pending = {.sums = sums};
  const int steps = weights.k / kTileBytes;
  for (int g = 0; g < scales.groups; ++g) {
    const std::byte* b = weights.first + g * steps * kStepBytes;
    Fetch fetch = {b + kAhead, FetchedLines(weights, tiles)}, none = {b, 0};
    ForShapes(tiles, kBlockTiles, [&](auto shape, int tile, int column) {
      using Shape = decltype(shape);
      const int row = tile * tiles.rows;
      ClearSums();
      const Operands x = {rows.first + row * rows.stride + int64_t{g} * weights.k, rows.stride,
                          tiles.rows * rows.stride, b + column * kTileBytes, kWeightStride};
      const int rows_a_step = hwy::DivCeil(pending.rows, steps);
      AddSteps<Shape, true>(x, steps, column == 0 ? fetch : none, [&](int s) {
        Scale(pending, stride, std::min(pending.rows, s * rows_a_step), std::min(pending.rows, (s + 1) * rows_a_step));
      });
      StoreSums<Shape>(sums, kPendingStride, tiles.rows);
      const int64_t row_at = g * scales.row_stride + row;
      const int64_t column_at = g * scales.column_stride + column * kTileColumns;
      pending = {.sums = sums,
                 .rows = std::min(Shape::kRows * tiles.rows, rows.count - row),
                 .vectors = Shape::kColumns,
                 .first = g == 0,
                 .c = c + row * stride + column * kTileColumns,
                 .row_scales = scales.row_scales + row_at,
                 .row_offsets = scales.row_offsets + row_at,
                 .weight_scales = scales.weight_scales + column_at,
                 .weight_sums = scales.weight_sums + column_at};
    });
  }
  Scale(pending, stride, 0, pending.rows);
}

}  // namespace
HWY_POP_ATTRIBUTES

bool HasTileKernel(UkernelData data) {
  const bool tiles = data == UkernelData::kBf16 || data == UkernelData::kU8S8 || data == UkernelData::kF32Slices;
  return tiles && CpuHasAmx() && !MatmulIsForced();
}

void MultiplyBf16Tiles(TileRegisters& registers, const BlockRows& rows, const BlockWeights& weights, float* c,
                       int64_t stride) {
  const Tiles tiles(rows.count);
  registers.Configure(tiles.rows);
  const TileMatrix matrix = {weights.first, kWeightStride, kBlockTiles, weights.k / kTileHalves};
  MultiplyBf16(tiles, rows, matrix, FetchedLines(weights, tiles), c, stride);
}

void MultiplyTiles(TileRegisters& registers, const BlockRows& rows, const TileMatrix& b, float* c, int64_t stride) {
  const Tiles tiles(rows.count);
  registers.Configure(tiles.rows);
  MultiplyBf16(tiles, rows, b, /*fetched_lines=*/0, c, stride);
}

void MultiplyByteTiles(TileRegisters& registers, const BlockRows& rows, const BlockWeights& weights,
                       const GroupScales& scales, float* c, int64_t stride) {
  const Tiles tiles(rows.count);
  registers.Configure(tiles.rows);
  MultiplyBytes(tiles, rows, weights, scales, c, stride);
}

#else

bool HasTileKernel(UkernelData) { return false; }
void MultiplyTiles(TileRegisters&, const BlockRows&, const TileMatrix&, float*, int64_t) { HWY_ABORT("no AMX"); }
void MultiplyBf16Tiles(TileRegisters&, const BlockRows&, const BlockWeights&, float*, int64_t) { HWY_ABORT("no AMX"); }
void MultiplyByteTiles(TileRegisters&, const BlockRows&, const BlockWeights&, const GroupScales&, float*, int64_t) {
  HWY_ABORT("no AMX");
}

#endif

}  // namespace attnd
