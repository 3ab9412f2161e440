// Softmax over rows of scaled scores, in place.
#ifndef ATTND_CORE_OPS_SOFTMAX_H_
#define ATTND_CORE_OPS_SOFTMAX_H_

#include <cstdint>

namespace attnd {

// Floats of a row of scores: few distinct strides, so that a new length means no new kernel; the odd 16 keeps rows out
// of one cache set.
constexpr int ScoreStride(int keys) {
  int stride = 256;
  while (stride < keys) stride *= 2;
  return stride + 16;
}

// Each row becomes softmax(scale * x), scale > 0; columns [columns, padded_columns) become 0. Scores of -infinity get
// probability 0; a row of nothing else becomes all 0. With `inverse_sums` rows are left unscaled: row r times
// inverse_sums[r] is the softmax, which is cheaper to apply to the product of rows and values, narrower than the rows.
// entropy[r] is that of the softmax in nats, 0 of a row of zeros, and errs by less than 1e-6 (1 + log(columns)); null:
// not wanted.
void SoftmaxRows(float scale, int rows, int columns, int padded_columns, int stride, float* x /* [rows, stride] */,
                 float* inverse_sums /* [rows] */ = nullptr, float* entropy /* [rows] */ = nullptr);
// to = row r of `from` times factors[r], as the inverse_sums that were left; null: as it is. `to` may be `from`.
void ScaleRows(const float* from /* [rows, from_stride] */, int64_t from_stride, const float* factors /* [rows] */,
               int rows, int columns, float* to /* [rows, stride] */, int64_t stride);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_SOFTMAX_H_
