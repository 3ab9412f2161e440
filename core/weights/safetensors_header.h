// The JSON header of a .safetensors file, and every rule it must keep.
#ifndef ATTND_CORE_WEIGHTS_SAFETENSORS_HEADER_H_
#define ATTND_CORE_WEIGHTS_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/weights/safetensors.h"

namespace attnd {

inline constexpr uint64_t kSafetensorsHeaderBytesMax = 100'000'000;
inline constexpr size_t kSafetensorsTensorsMax = 1 << 17;
inline constexpr size_t kSafetensorsRankMax = 8;
inline constexpr size_t kSafetensorsMetadataMax = 4096;  // entries

// Parses `json`, the header without its length, of a file that has `data_bytes` after it; offsets in the result count
// from the file's begin. kInvalidArgument says what is wrong, without the file's name.
absl::StatusOr<absl::flat_hash_map<std::string, TensorInfo>> ParseSafetensorsHeader(std::string_view json,
                                                                                    uint64_t data_bytes);

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_SAFETENSORS_HEADER_H_
