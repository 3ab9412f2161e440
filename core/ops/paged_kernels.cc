#include "core/ops/paged_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/paged_kernels.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "core/ops/exp-inl.h"
#include "core/ops/fold-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kTokens = KvPages::kTokens;
using D = hn::CappedTag<float, kTokens>;

// Loads as f32 from each element type.
HWY_INLINE hn::Vec<D> Load(D d, const float* from) { return hn::LoadU(d, from); }
HWY_INLINE hn::Vec<D> Load(D d, const hwy::bfloat16_t* from) {
  return hn::PromoteTo(d, hn::LoadU(hn::Rebind<hwy::bfloat16_t, D>(), from));
}
HWY_INLINE hn::Vec<D> Load(D d, const int8_t* from) {
  return hn::ConvertTo(d, hn::PromoteTo(hn::Rebind<int32_t, D>(), hn::LoadU(hn::Rebind<int8_t, D>(), from)));
}

// One page, kHeads query heads at a time: each key is loaded once for all of them.
template <int kHeads, typename T>
HWY_INLINE void ScoreBlock(const T* HWY_RESTRICT keys, const float* HWY_RESTRICT scales, int dim,
                           const float* HWY_RESTRICT query, int64_t stride, float* HWY_RESTRICT scores) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int t = 0; t < kTokens; t += lanes) {
    hn::Vec<D> even[kHeads], odd[kHeads];  // two chains a head hide the latency of adding
    for (int h = 0; h < kHeads; ++h) even[h] = odd[h] = hn::Zero(d);
    int i = 0;
    for (; i + 2 <= dim; i += 2) {
      const auto a = Load(d, keys + i * kTokens + t), b = Load(d, keys + (i + 1) * kTokens + t);
      for (int h = 0; h < kHeads; ++h) {
        even[h] = hn::MulAdd(hn::Set(d, query[h * dim + i]), a, even[h]);
        odd[h] = hn::MulAdd(hn::Set(d, query[h * dim + i + 1]), b, odd[h]);
      }
    }
    if (i < dim) {
      const auto a = Load(d, keys + i * kTokens + t);
      for (int h = 0; h < kHeads; ++h) even[h] = hn::MulAdd(hn::Set(d, query[h * dim + i]), a, even[h]);
    }
    for (int h = 0; h < kHeads; ++h) {
      auto sum = hn::Add(even[h], odd[h]);
      if (scales != nullptr) sum = hn::Mul(sum, hn::LoadU(d, scales + t));
      hn::StoreU(sum, d, scores + h * stride + t);
    }
  }
}

template <int kHeads, typename T>
HWY_INLINE void WeighBlock(const T* HWY_RESTRICT values, const float* HWY_RESTRICT scales, int dim,
                           const float* HWY_RESTRICT probabilities, int64_t stride, float* HWY_RESTRICT output) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  float weights[kHeads][kTokens];
  for (int h = 0; h < kHeads; ++h) {
    for (int t = 0; t < kTokens; ++t) {
      weights[h][t] = probabilities[h * stride + t] * (scales == nullptr ? 1.0f : scales[t]);
    }
  }
  int c = 0;
  for (; c + lanes <= dim; c += lanes) {
    hn::Vec<D> even[kHeads], odd[kHeads];
    for (int h = 0; h < kHeads; ++h) even[h] = hn::LoadU(d, output + h * dim + c), odd[h] = hn::Zero(d);
    for (int t = 0; t < kTokens; t += 2) {
      const auto a = Load(d, values + t * dim + c), b = Load(d, values + (t + 1) * dim + c);
      for (int h = 0; h < kHeads; ++h) {
        even[h] = hn::MulAdd(hn::Set(d, weights[h][t]), a, even[h]);
        odd[h] = hn::MulAdd(hn::Set(d, weights[h][t + 1]), b, odd[h]);
      }
    }
    for (int h = 0; h < kHeads; ++h) hn::StoreU(hn::Add(even[h], odd[h]), d, output + h * dim + c);
  }
  for (; c < dim; ++c) {
    for (int h = 0; h < kHeads; ++h) {
      float sum = output[h * dim + c];
      for (int t = 0; t < kTokens; ++t) sum += weights[h][t] * hwy::ConvertScalarTo<float>(values[t * dim + c]);
      output[h * dim + c] = sum;
    }
  }
}

template <int kHeads, typename T>
void ScorePages(const KvPages& pages, int layer, int key_head, const int32_t* table, int count, const float* query,
                int64_t stride, float* scores) {
  const int dim = pages.shape().head_dim;
  for (int p = 0; p < count; ++p) {
    const std::byte* block = pages.Block(layer, table[p], key_head);
    const float* scales =
        sizeof(T) == 1 ? reinterpret_cast<const float*>(block + 2 * kTokens * dim * sizeof(T)) : nullptr;
    ScoreBlock<kHeads>(reinterpret_cast<const T*>(block), scales, dim, query, stride, scores + p * kTokens);
  }
}

template <int kHeads, typename T>
void WeighPages(const KvPages& pages, int layer, int key_head, const int32_t* table, int count,
                const float* probabilities, int64_t stride, float* output) {
  const int dim = pages.shape().head_dim;
  for (int p = 0; p < count; ++p) {
    const std::byte* block = pages.Block(layer, table[p], key_head);
    const float* scales =
        sizeof(T) == 1 ? reinterpret_cast<const float*>(block + 2 * kTokens * dim * sizeof(T)) + kTokens : nullptr;
    WeighBlock<kHeads>(reinterpret_cast<const T*>(block) + kTokens * dim, scales, dim, probabilities + p * kTokens,
                       stride, output);
  }
}

// Heads in groups of 4, 3, 2 or 1.
template <typename T>
void ScoreHeads(const KvPages& pages, int layer, int key_head, const int32_t* table, int count, const float* query,
                int heads, int64_t stride, float* scores) {
  const int dim = pages.shape().head_dim;
  for (int h = 0; h < heads;) {
    const int group = std::min(heads - h, 4);
    const auto score = group == 4   ? &ScorePages<4, T>
                       : group == 3 ? &ScorePages<3, T>
                       : group == 2 ? &ScorePages<2, T>
                                    : &ScorePages<1, T>;
    score(pages, layer, key_head, table, count, query + h * dim, stride, scores + h * stride);
    h += group;
  }
}

template <typename T>
void WeighHeads(const KvPages& pages, int layer, int key_head, const int32_t* table, int count,
                const float* probabilities, int64_t stride, int heads, float* output) {
  const int dim = pages.shape().head_dim;
  std::fill(output, output + heads * dim, 0.0f);
  for (int h = 0; h < heads;) {
    const int group = std::min(heads - h, 4);
    const auto weigh = group == 4   ? &WeighPages<4, T>
                       : group == 3 ? &WeighPages<3, T>
                       : group == 2 ? &WeighPages<2, T>
                                    : &WeighPages<1, T>;
    weigh(pages, layer, key_head, table, count, probabilities + h * stride, stride, output + h * dim);
    h += group;
  }
}

void Score(const KvPages& pages, int layer, int key_head, const int32_t* table, int count, const float* query,
           int heads, int64_t stride, float* scores) {
  switch (pages.shape().type) {
    case KvType::kF32:
      return ScoreHeads<float>(pages, layer, key_head, table, count, query, heads, stride, scores);
    case KvType::kBf16:
      return ScoreHeads<hwy::bfloat16_t>(pages, layer, key_head, table, count, query, heads, stride, scores);
    case KvType::kInt8:
      return ScoreHeads<int8_t>(pages, layer, key_head, table, count, query, heads, stride, scores);
  }
}

void Weigh(const KvPages& pages, int layer, int key_head, const int32_t* table, int count, const float* probabilities,
           int64_t stride, int heads, float* output) {
  switch (pages.shape().type) {
    case KvType::kF32:
      return WeighHeads<float>(pages, layer, key_head, table, count, probabilities, stride, heads, output);
    case KvType::kBf16:
      return WeighHeads<hwy::bfloat16_t>(pages, layer, key_head, table, count, probabilities, stride, heads, output);
    case KvType::kInt8:
      return WeighHeads<int8_t>(pages, layer, key_head, table, count, probabilities, stride, heads, output);
  }
}

// `columns` is a multiple of 16 and so of every vector's lanes.
void OnlineStep(float scale, int rows, int columns, int64_t stride, float* HWY_RESTRICT scores,
                float* HWY_RESTRICT maxima, float* HWY_RESTRICT sums, int width, float* HWY_RESTRICT output) {
  const D d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  const auto scales = hn::Set(d, scale);
  for (int r = 0; r < rows; ++r) {
    float* row = scores + r * stride;
    const auto larger = [&](auto v, int c) HWY_ATTR { return hn::Max(v, hn::LoadU(d, row + c)); };
    const auto largest = Fold(d, columns, hn::Set(d, kNone), larger, Largest());
    const float maximum = std::max(maxima[r], scale * hn::ReduceMax(d, largest));
    if (maximum == kNone) {
      std::fill(row, row + columns, 0.0f);
      continue;
    }
    const auto shift = hn::Set(d, maximum);
    auto sum = hn::Zero(d);
    for (int c = 0; c < columns; c += lanes) {
      const auto e = FastExp(d, hn::MulSub(hn::LoadU(d, row + c), scales, shift));
      hn::StoreU(e, d, row + c);
      sum = hn::Add(sum, e);
    }
    const float keep = maxima[r] == kNone ? 0.0f : std::exp(maxima[r] - maximum);
    sums[r] = sums[r] * keep + hn::ReduceSum(d, sum);
    maxima[r] = maximum;
    if (keep != 1.0f) {
      for (int c = 0; c < width; ++c) output[r * width + c] *= keep;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Score);
HWY_EXPORT(Weigh);
HWY_EXPORT(OnlineStep);

void ScoreRow(const KvPages& pages, int layer, int key_head, const int32_t* table, int count, const float* query,
              int heads, int64_t stride, float* scores) {
  HWY_DYNAMIC_DISPATCH(Score)(pages, layer, key_head, table, count, query, heads, stride, scores);
}

void WeighRow(const KvPages& pages, int layer, int key_head, const int32_t* table, int count,
              const float* probabilities, int64_t stride, int heads, float* output) {
  HWY_DYNAMIC_DISPATCH(Weigh)(pages, layer, key_head, table, count, probabilities, stride, heads, output);
}

void OnlineSoftmaxStep(float scale, int rows, int columns, int64_t stride, float* scores, float* maxima, float* sums,
                       int width, float* output) {
  HWY_DYNAMIC_DISPATCH(OnlineStep)(scale, rows, columns, stride, scores, maxima, sums, width, output);
}

}  // namespace attnd
#endif  // HWY_ONCE
