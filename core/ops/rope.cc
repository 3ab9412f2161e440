#include "core/ops/rope.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

// clang-format off: the order of Highway's headers matters
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/rope.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace attnd {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void RotateHalves(const float* HWY_RESTRICT cosines, const float* HWY_RESTRICT sines, int pairs, int heads,
                  int head_dim, float* HWY_RESTRICT x) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int h = 0; h < heads; ++h, x += head_dim) {
    float* HWY_RESTRICT y = x + pairs;
    int i = 0;
    for (; i + lanes <= pairs; i += lanes) {
      const auto c = hn::LoadU(d, cosines + i), s = hn::LoadU(d, sines + i);
      const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, y + i);
      hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, x + i);
      hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, y + i);
    }
    for (; i < pairs; ++i) {
      const float a = x[i], b = y[i];
      x[i] = a * cosines[i] - b * sines[i];
      y[i] = b * cosines[i] + a * sines[i];
    }
  }
}

void RotateInterleaved(const float* HWY_RESTRICT cosines, const float* HWY_RESTRICT sines, int pairs, int heads,
                       int head_dim, float* HWY_RESTRICT x) {
  const hn::ScalableTag<float> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  for (int h = 0; h < heads; ++h, x += head_dim) {
    int i = 0;
    for (; i + lanes <= pairs; i += lanes) {
      const auto c = hn::LoadU(d, cosines + i), s = hn::LoadU(d, sines + i);
      hn::Vec<decltype(d)> a, b;
      hn::LoadInterleaved2(d, x + 2 * i, a, b);
      hn::StoreInterleaved2(hn::NegMulAdd(b, s, hn::Mul(a, c)), hn::MulAdd(a, s, hn::Mul(b, c)), d, x + 2 * i);
    }
    for (; i < pairs; ++i) {
      const float a = x[2 * i], b = x[2 * i + 1];
      x[2 * i] = a * cosines[i] - b * sines[i];
      x[2 * i + 1] = b * cosines[i] + a * sines[i];
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace attnd
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace attnd {
namespace {

HWY_EXPORT(RotateHalves);
HWY_EXPORT(RotateInterleaved);

constexpr double kTurn = 2 * std::numbers::pi;

// "Llama 3": wavelengths up to original / high_freq_factor stay, those above original / low_freq_factor are stretched.
float Llama3Frequency(const RopeScaling& scaling, float frequency) {
  const double wavelength = kTurn / frequency;
  if (wavelength < scaling.original_positions / scaling.high_freq_factor) return frequency;
  if (wavelength > scaling.original_positions / scaling.low_freq_factor) {
    return static_cast<float>(frequency / scaling.factor);
  }
  const double smooth = (scaling.original_positions / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return static_cast<float>((1 - smooth) * frequency / scaling.factor + smooth * frequency);
}

// The pair that turns `rotations` times over the original context.
double YarnPair(const RopeOptions& options, double rotations) {
  return options.rotary_dim * std::log(options.scaling.original_positions / (rotations * kTurn)) /
         (2 * std::log(options.theta));
}

double AttentionFactor(const RopeScaling& scaling) {
  if (scaling.attention_factor > 0) return scaling.attention_factor;
  if (scaling.factor <= 1) return 1;
  switch (scaling.kind) {
    case RopeScalingKind::kYarn:
      return 0.1 * std::log(scaling.factor) + 1;
    case RopeScalingKind::kFactors:
      return std::sqrt(1 + std::log(scaling.factor) / std::log(scaling.original_positions));
    default:
      return 1;
  }
}

}  // namespace

std::vector<float> RopeFrequencies(const RopeOptions& options) {
  const RopeScaling& scaling = options.scaling;
  const int pairs = options.rotary_dim / 2;
  double yarn_low = 0, yarn_high = 0;
  if (scaling.kind == RopeScalingKind::kYarn) {
    yarn_low = std::max(std::floor(YarnPair(options, scaling.beta_fast)), 0.0);
    yarn_high = std::min(std::ceil(YarnPair(options, scaling.beta_slow)), options.rotary_dim - 1.0);
    if (yarn_low == yarn_high) yarn_high += 0.001;
  }
  std::vector<float> frequencies(pairs);
  for (int i = 0; i < pairs; ++i) {
    const double exact = std::pow(options.theta, -2.0 * i / options.rotary_dim);
    const auto frequency = static_cast<float>(exact);
    switch (scaling.kind) {
      case RopeScalingKind::kNone:
        frequencies[i] = frequency;
        break;
      case RopeScalingKind::kLinear:
        frequencies[i] = static_cast<float>(frequency / scaling.factor);
        break;
      case RopeScalingKind::kLlama3:
        frequencies[i] = Llama3Frequency(scaling, frequency);
        break;
      case RopeScalingKind::kYarn: {
        const double stretched = std::clamp((i - yarn_low) / (yarn_high - yarn_low), 0.0, 1.0);
        frequencies[i] = static_cast<float>(exact / scaling.factor * stretched + exact * (1 - stretched));
        break;
      }
      case RopeScalingKind::kFactors:
        frequencies[i] = static_cast<float>(exact / scaling.factors[i]);
        break;
    }
  }
  return frequencies;
}

RopeTable::RopeTable(const RopeOptions& options, int positions)
    : pairs_(options.rotary_dim / 2), cosines_(int64_t{positions} * pairs_), sines_(int64_t{positions} * pairs_) {
  const std::vector<float> frequencies = RopeFrequencies(options);
  const double factor = AttentionFactor(options.scaling);
  for (int p = 0; p < positions; ++p) {
    for (int i = 0; i < pairs_; ++i) {
      // The angle is rounded to f32 as in the references: at large positions that shows.
      const float angle = static_cast<float>(p) * frequencies[i];
      cosines_[int64_t{p} * pairs_ + i] = static_cast<float>(std::cos(double{angle}) * factor);
      sines_[int64_t{p} * pairs_ + i] = static_cast<float>(std::sin(double{angle}) * factor);
    }
  }
}

void RopeTable::Rotate(RopeLayout layout, const int32_t* positions, int rows, int heads, int head_dim, int64_t stride,
                       float* x) const {
  for (int r = 0; r < rows; ++r) {
    const float* cosines = cosines_.data() + int64_t{positions[r]} * pairs_;
    const float* sines = sines_.data() + int64_t{positions[r]} * pairs_;
    if (layout == RopeLayout::kHalves) {
      HWY_DYNAMIC_DISPATCH(RotateHalves)(cosines, sines, pairs_, heads, head_dim, x + r * stride);
    } else {
      HWY_DYNAMIC_DISPATCH(RotateInterleaved)(cosines, sines, pairs_, heads, head_dim, x + r * stride);
    }
  }
}

}  // namespace attnd
#endif  // HWY_ONCE
