// Decoding of AttentionResult::data: what a client does, for tests and for callers inside the server.
#ifndef ATTND_CORE_ATTENTION_DECODING_H_
#define ATTND_CORE_ATTENTION_DECODING_H_

#include <vector>

#include "core/attention/recorder.h"

namespace attnd {

struct DecodedMaps {
  std::vector<float> dense;      // [maps, rows, columns]; what top-k left out is 0
  std::vector<float> residuals;  // [maps, rows], top-k only
};
DecodedMaps DecodeMaps(const AttentionResult& result);

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_DECODING_H_
