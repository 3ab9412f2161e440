// Limits: what one call may ask for.
#ifndef ATTND_SERVER_OPS_LIMITS_H_
#define ATTND_SERVER_OPS_LIMITS_H_

#include <cstdint>

#include "absl/time/time.h"

namespace attnd {

// Constant after start. Beyond a limit a call is refused, naming the flag's field and the limit.
struct Limits {
  int64_t max_texts_per_call = 4096;
  int64_t max_text_bytes = 131072;                        // of one text
  int64_t max_attention_bytes = 268435456;                // maps of one call, all texts together
  int64_t max_attention_memory_bytes = int64_t{1} << 30;  // maps of all calls together, while they are in flight
  int64_t max_message_bytes = 16777216;                   // of one request
  absl::Duration default_deadline = absl::Seconds(60);    // of calls that bring none
  absl::Duration default_generation_deadline = absl::Minutes(10);  // of those that generate
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_LIMITS_H_
