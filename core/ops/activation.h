// What follows the product of a tile of Linear: bias, activation, gate or residual, in f32 or quantised for the next.
#ifndef ATTND_CORE_OPS_ACTIVATION_H_
#define ATTND_CORE_OPS_ACTIVATION_H_

#include <cstdint>

#include "core/ops/quantize.h"

namespace attnd {

// kGelu: x Phi(x) with the exact error function (tests hold it to 2e-6 max(1, |x|)); kGeluTanh: its tanh approximation.
// "Gaussian Error Linear Units", Hendrycks and Gimpel, 2016. kSilu: x sigmoid(x).
enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };

// y = activation(x + bias); y may be x.
void AddBiasAndActivate(Activation activation, const float* bias /* [columns] */, int rows, int columns,
                        const float* x /* [rows, x_stride] */, int64_t x_stride, float* y /* [rows, y_stride] */,
                        int64_t y_stride);

// y = x + bias + residual; y may be x.
void AddBiasAndResidual(const float* bias /* [columns] */, const float* residual /* [rows, y_stride] */, int rows,
                        int columns, const float* x /* [rows, x_stride] */, int64_t x_stride,
                        float* y /* [rows, y_stride] */, int64_t y_stride);

// y = activation(gate) * up, where rows of x are gate and up side by side, `columns` each.
void GateRows(Activation activation, int rows, int columns, const float* x /* [rows, x_stride] */, int64_t x_stride,
              float* y /* [rows, y_stride] */, int64_t y_stride);

// `to` = activation(x + bias). Overwrites x.
void ActivateToQuantized(Activation activation, const float* bias /* [columns] */, int rows, int columns,
                         float* x /* [rows, x_stride] */, int64_t x_stride, const QuantizedTile& to);

// `to` = activation(gate) * up; rows of x are gate and up side by side. Overwrites x.
void GateToQuantized(Activation activation, int rows, int columns, float* x /* [rows, x_stride] */, int64_t x_stride,
                     const QuantizedTile& to);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ACTIVATION_H_
