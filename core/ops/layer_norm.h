// LayerNorm over rows. "Layer Normalization", Ba, Kiros and Hinton, 2016.
#ifndef ATTND_CORE_OPS_LAYER_NORM_H_
#define ATTND_CORE_OPS_LAYER_NORM_H_

namespace attnd {

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias for each row; y may be x.
void LayerNorm(const float* x /* [rows, columns] */, const float* weight /* [columns] */,
               const float* bias /* [columns] */, float epsilon, int rows, int columns, float* y /* [rows, columns] */);

}  // namespace attnd

#endif  // ATTND_CORE_OPS_LAYER_NORM_H_
