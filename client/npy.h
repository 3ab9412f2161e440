// NumPy's .npy format, version 1.0: f32, little-endian, C order.
#ifndef ATTND_CLIENT_NPY_H_
#define ATTND_CLIENT_NPY_H_

#include <cstdint>
#include <string>
#include <vector>

namespace attnd {

// The header of an array of f32 of `shape`; always kNpyHeaderBytes long for up to 4 dimensions, so that a writer that
// learns the count at the end can write it again.
std::string NpyHeader(const std::vector<int64_t>& shape);
inline constexpr int kNpyHeaderBytes = 192;

// A whole file. `values` is row-major, the product of `shape` of them.
std::string NpyFile(const std::vector<int64_t>& shape, const std::vector<float>& values);

}  // namespace attnd

#endif  // ATTND_CLIENT_NPY_H_
