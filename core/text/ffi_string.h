// Texts to and from core/text/ffi.
#ifndef ATTND_CORE_TEXT_FFI_STRING_H_
#define ATTND_CORE_TEXT_FFI_STRING_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "core/text/ffi/attnd_tokenizers.h"

namespace attnd {

// Takes over a string of the ABI.
inline std::string Take(attnd_string string) {
  std::string result(reinterpret_cast<const char*>(string.data), string.size);
  attnd_string_free(string);
  return result;
}

inline const uint8_t* Bytes(std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

}  // namespace attnd

#endif  // ATTND_CORE_TEXT_FFI_STRING_H_
