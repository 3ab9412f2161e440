#include "core/ops/slices.h"

#include <cstring>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/slices.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "core/ops/slices-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {

void Slice(const float* x, int columns, int height, int8_t* to, float& scale) {
  SliceOne(x, columns, height, to, scale);
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {

HWY_EXPORT(Slice);

void SliceRow(const float* x, int columns, int stride, int height, int8_t* to, float* scale) {
  // Whole steps first: what is stored of a step's last columns is a whole vector.
  const int64_t slice = int64_t{height} * kTileBytes;
  for (int step = columns / kTileBytes; step < stride / kTileBytes; ++step) {
    for (int s = 0; s < kSlices; ++s) std::memset(to + (step * kSlices + s) * slice, 0, kTileBytes);
  }
  HWY_DYNAMIC_DISPATCH(Slice)(x, columns, height, to, *scale);
}

}  // namespace attnd
#endif  // HWY_ONCE
