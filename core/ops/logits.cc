#include "core/ops/logits.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/logits.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "hwy/contrib/algo/find-inl.h"
#include "core/ops/exp-inl.h"
#include "core/ops/fold-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Logits whose exponentials are summed in f32: so few that the sum errs little more than they do.
constexpr int kSummed = 1024;

int32_t ArgMaxOf(const float* HWY_RESTRICT x, int count) {
  const hn::ScalableTag<float> d;
  const size_t found = hn::Find(d, MaximumOf(x, count), x, count);
  return static_cast<int32_t>(std::min<size_t>(found, count - 1));
}

// Sum of e^(x - largest).
float SumOfExp(const float* HWY_RESTRICT x, int count, float largest) {
  const hn::ScalableTag<float> d;
  const int rest = count % static_cast<int>(hn::Lanes(d));
  const auto shift = hn::Set(d, largest);
  const auto add = [&](auto v, int c) HWY_ATTR { return hn::Add(v, FastExp(d, hn::Sub(hn::LoadU(d, x + c), shift))); };
  auto sums = Fold(d, count, hn::Zero(d), add, Sum());
  if (rest > 0) {
    const auto none = hn::Set(d, -std::numeric_limits<float>::infinity());
    sums = hn::Add(sums, FastExp(d, hn::Sub(hn::LoadNOr(none, d, x + count - rest, rest), shift)));
  }
  return hn::ReduceSum(d, sums);
}

double LogSumExpOf(const float* HWY_RESTRICT x, int count) {
  const float largest = MaximumOf(x, count);
  double sum = 0;
  for (int i = 0; i < count; i += kSummed) sum += SumOfExp(x + i, std::min(kSummed, count - i), largest);
  return largest + std::log(sum);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(ArgMaxOf);
HWY_EXPORT(LogSumExpOf);

int32_t ArgMax(absl::Span<const float> logits) {
  assert(!logits.empty());
  return HWY_DYNAMIC_DISPATCH(ArgMaxOf)(logits.data(), static_cast<int>(logits.size()));
}

double LogSumExp(absl::Span<const float> logits) {
  assert(!logits.empty());
  return HWY_DYNAMIC_DISPATCH(LogSumExpOf)(logits.data(), static_cast<int>(logits.size()));
}

}  // namespace attnd
#endif  // HWY_ONCE
