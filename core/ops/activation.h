// Activations, fused with the bias as the epilogue of a tile of Linear.
#ifndef ATTND_CORE_OPS_ACTIVATION_H_
#define ATTND_CORE_OPS_ACTIVATION_H_

#include <cstdint>

namespace attnd {

// kGelu: x Phi(x) with the exact error function (tests hold it to 2e-6 max(1, |x|)); kGeluTanh: its tanh approximation.
// "Gaussian Error Linear Units", Hendrycks and Gimpel, 2016. kSilu: x sigmoid(x).
enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };

// x = activation(x + bias), in place.
void AddBiasAndActivate(Activation activation, const float* bias /* [columns] */, int rows, int columns, int64_t stride,
                        float* x /* [rows, stride] */);

// x = x + bias + residual, in place.
void AddBiasAndResidual(const float* bias /* [columns] */, const float* residual /* [rows, residual_stride] */,
                        int64_t residual_stride, int rows, int columns, int64_t stride, float* x /* [rows, stride] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ACTIVATION_H_
