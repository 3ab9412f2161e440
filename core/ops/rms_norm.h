// RMSNorm over rows. "Root Mean Square Layer Normalization", Zhang and Sennrich, 2019.
#ifndef ATTND_CORE_OPS_RMS_NORM_H_
#define ATTND_CORE_OPS_RMS_NORM_H_

namespace attnd {

// y = x / sqrt(mean(x^2) + epsilon) * weight for each row; y may be x.
void RmsNorm(const float* x /* [rows, columns] */, const float* weight /* [columns] */, float epsilon, int rows,
             int columns, float* y /* [rows, columns] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_RMS_NORM_H_
