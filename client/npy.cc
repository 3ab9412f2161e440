#include "client/npy.h"

#include <bit>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");

namespace attnd {

std::string NpyHeader(const std::vector<int64_t>& shape) {
  // A tuple of one needs its comma.
  std::string text = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", absl::StrJoin(shape, ", "),
                                  shape.size() == 1 ? "," : "", "), }");
  const size_t length = kNpyHeaderBytes - 10;  // of the dictionary, padded, with its line break
  text.resize(length - 1, ' ');
  text.push_back('\n');
  std::string header("\x93NUMPY\x01\x00", 8);
  header.push_back(static_cast<char>(length & 0xFF));
  header.push_back(static_cast<char>(length >> 8));
  return header + text;
}

std::string NpyFile(const std::vector<int64_t>& shape, const std::vector<float>& values) {
  std::string file = NpyHeader(shape);
  const size_t begin = file.size();
  file.resize(begin + values.size() * sizeof(float));
  std::memcpy(file.data() + begin, values.data(), values.size() * sizeof(float));
  return file;
}

}  // namespace attnd
