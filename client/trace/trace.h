// Trace: a generation with the attention behind each of its tokens, and the page that plays it.
#ifndef ATTND_CLIENT_TRACE_TRACE_H_
#define ATTND_CLIENT_TRACE_TRACE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "attnd/v1/generation.pb.h"

namespace attnd {

// What `attn trace` asks of the server for every token: all rows of the heads selected, and their statistics.
v1::GenerationAttention TraceAttention(const std::string& select);

// Bytes of the page's data for a prompt of `prompt` tokens, an answer of `tokens` and `heads` heads, in base64: a byte
// a weight, and 20 a head and token for the row's scale and statistics. The page itself adds about 45 KiB.
uint64_t TraceBytes(uint64_t prompt, uint64_t tokens, uint64_t heads);

class Trace {
 public:
  // `max_tokens` and `max_bytes` bound the page. `text` as for PromptPieces; outlives the trace.
  Trace(uint32_t max_tokens, uint64_t max_bytes, const std::string* text)
      : max_tokens_(max_tokens), max_bytes_(max_bytes), text_(text) {}

  // The events of one generation in order. kResourceExhausted, at the start and naming what to change, where an answer
  // of max_tokens could make the page larger than max_bytes; kDataLoss where the rows do not fit the tokens.
  absl::Status Take(const v1::GenerateResponse& event);

  uint32_t tokens() const { return static_cast<uint32_t>(answer_.size()); }
  uint32_t prompt_tokens() const { return static_cast<uint32_t>(prompt_.size()); }
  size_t heads() const { return heads_.size(); }
  // One self-contained HTML file.
  std::string Page() const;

 private:
  struct Piece {
    int32_t id = 0;
    std::string text;
    bool special = false;
  };
  absl::Status TakeStart(const v1::GenerationStart& start);
  absl::Status TakeToken(const v1::GenerationDelta& delta);

  const uint32_t max_tokens_;
  const uint64_t max_bytes_;
  const std::string* const text_;
  std::string model_;
  std::vector<Piece> prompt_, answer_;
  std::vector<std::pair<int32_t, int32_t>> heads_;  // layer, head
  std::string weights_;                             // [answer][heads][prompt + t], u8: scale x (u / 255)^2
  std::vector<float> scales_;                       // [answer, heads], the row maxima
  std::vector<float> statistics_[4];                // [answer, heads]: entropy, sink mass, lookback ratio, copy mass
};

}  // namespace attnd

#endif  // ATTND_CLIENT_TRACE_TRACE_H_
