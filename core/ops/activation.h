// What follows the product of a tile of Linear: scaling of integer sums, bias, activation or residual.
#ifndef ATTND_CORE_OPS_ACTIVATION_H_
#define ATTND_CORE_OPS_ACTIVATION_H_

#include <cstdint>

namespace attnd {

// kGelu: x Phi(x) with the exact error function (tests hold it to 2e-6 max(1, |x|)); kGeluTanh: its tanh approximation.
// "Gaussian Error Linear Units", Hendrycks and Gimpel, 2016. kSilu: x sigmoid(x).
enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };

// The product of quantised rows (QuantizeRow) and weights w ~ weight_scale * s8, as integer sums over groups of inputs.
// What it stands for, in f32:
//   value[r, c] = sum over g of row_scales[g, r] weight_scales[g, c] sums[g, r, c] + row_offsets[g, r] weight_sums[g,
//   c],
// where weight_sums[g, c] is weight_scales[g, c] times the sum of column c over the inputs of g.
struct IntegerTile {
  static constexpr int kMaxGroups = 4;
  const int32_t* sums;  // [groups][rows, sums_stride]
  int sums_stride;
  int64_t group_stride;        // of `sums`, from one group to the next
  int groups;                  // 1 to kMaxGroups
  const float* row_scales;     // [groups, row_stride]
  const float* row_offsets;    // [groups, row_stride]
  const float* weight_scales;  // [groups, column_stride]
  const float* weight_sums;    // [groups, column_stride]
  int64_t row_stride;
  int64_t column_stride;
  bool accumulate = false;  // the tile holds the value of other groups, to add to
};

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

// y = the values of `from`.
void ScaleSums(const IntegerTile& from, int rows, int columns, int64_t stride, float* y /* [rows, stride] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_ACTIVATION_H_
