// ReadFile: a small file of a model folder, whole.
#ifndef ATTND_CORE_TEXT_READ_FILE_H_
#define ATTND_CORE_TEXT_READ_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace attnd {

// kNotFound and other errors of the system name the path; kInvalidArgument: not a regular file, or above `bytes_max`.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t bytes_max);

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_READ_FILE_H_
