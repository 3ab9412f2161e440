// Row kernels of the wire formats, vectorised for the CPU at hand. Outputs need no alignment.
#ifndef ATTND_CORE_ATTENTION_ENCODING_H_
#define ATTND_CORE_ATTENTION_ENCODING_H_

#include <cstdint>
#include <vector>

namespace attnd {

// IEEE half precision, little-endian, rounded to nearest even. `out` takes 2 * count bytes.
void EncodeF16(const float* values, int count, uint8_t* out);

// q = round(255 sqrt(p / scale)); returns scale, the maximum of the row. A row without anything above 1e-30 becomes
// zeros, scale 0.
float EncodeU8(const float* values, int count, uint8_t* out);

// The k largest values, largest first, the lower index first among equals. k <= count. NaN count as larger than
// everything.
class TopK {
 public:
  // Returns the sum of `values` less that of the k kept, at least 0.
  float Select(const float* values, int count, int k);
  const float* values() const { return values_.data(); }       // [k]
  const uint32_t* indices() const { return indices_.data(); }  // [k]

 private:
  std::vector<float> values_;
  std::vector<uint32_t> indices_;
  std::vector<uint64_t> keys_;  // scratch: value bits, then the index reversed, so that larger means earlier
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_ENCODING_H_
