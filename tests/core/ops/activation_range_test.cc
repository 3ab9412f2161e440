// Activations over their whole range: a kernel that is right around 0 may be garbage where exp overflows.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/ops/activation.h"

namespace attnd {
namespace {

TEST(ActivationRangeTest, LargeValuesSaturate) {
  std::vector<float> inputs;
  for (float x = -300; x <= 300; x += 0.37f) inputs.push_back(x);
  for (const float x : {1e4f, -1e4f, 1e9f, -1e9f, 1e18f, -1e18f}) inputs.push_back(x);
  const std::vector<float> bias(inputs.size(), 0.0f);
  const int columns = static_cast<int>(inputs.size());
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh, Activation::kGelu, Activation::kTanh}) {
    std::vector<float> x = inputs;
    AddBiasAndActivate(activation, bias.data(), 1, columns, x.data(), columns, x.data(), columns);
    for (size_t i = 0; i < x.size(); ++i) {
      const double in = inputs[i];
      const double expected = activation == Activation::kSilu   ? in / (1 + std::exp(-in))
                              : activation == Activation::kGelu ? 0.5 * in * (1 + std::erf(in / std::sqrt(2.0)))
                              : activation == Activation::kTanh
                                  ? std::tanh(in)
                                  : 0.5 * in * (1 + std::tanh(std::sqrt(2 / M_PI) * (in + 0.044715 * in * in * in)));
      EXPECT_NEAR(x[i], expected, 2e-6 * std::max(1.0, std::abs(in))) << static_cast<int>(activation) << " " << in;
    }
  }
}

}  // namespace
}  // namespace attnd
