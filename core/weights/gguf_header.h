// The head of a GGUF file: metadata and where the tensors lie, and every rule it must keep.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef ATTND_CORE_WEIGHTS_GGUF_HEADER_H_
#define ATTND_CORE_WEIGHTS_GGUF_HEADER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/weights/checked_file.h"
#include "core/weights/ggml_type.h"
#include "core/weights/gguf_metadata.h"

namespace attnd {

inline constexpr uint64_t kGgufHeaderBytesMax = uint64_t{256} << 20;  // metadata and tensor infos
inline constexpr uint64_t kGgufKeysMax = 1 << 16;
inline constexpr uint64_t kGgufTensorsMax = 1 << 17;
inline constexpr uint64_t kGgufArrayMax = 1 << 24;    // numbers of an array
inline constexpr uint64_t kGgufStringsMax = 1 << 22;  // strings of an array
inline constexpr uint32_t kGgufRankMax = 4;

struct GgufTensor {
  const GgmlType* type;
  std::vector<int64_t> shape;  // row-major: the file's dimensions reversed
  uint64_t offset;             // of the file
  uint64_t bytes;

  int64_t elements() const { return static_cast<int64_t>(bytes / type->block_bytes) * type->block_elements; }
};

struct GgufHeader {
  GgufMetadata metadata;
  absl::flat_hash_map<std::string, GgufTensor> tensors;
};

// kInvalidArgument names the file and the fault. Nothing is allocated by a number of the file before that many bytes
// are known to be in it.
absl::StatusOr<GgufHeader> ReadGgufHeader(const CheckedFile& file);

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_GGUF_HEADER_H_
