// Embedder: texts without end to vectors in order, over EmbedStream.
#ifndef ATTND_CLIENT_EMBEDDER_H_
#define ATTND_CLIENT_EMBEDDER_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "attnd/v1/attnd.pb.h"
#include "client/channel.h"
#include "client/input.h"

namespace attnd {

struct EmbedSettings {
  std::string model;
  v1::Truncation truncate = v1::TRUNCATION_REFUSE;
  std::optional<bool> normalize;
  int texts_per_message = 32;
  std::optional<std::string> prompt_name = std::nullopt;
  std::optional<std::string> prompt = std::nullopt;
};

struct Embedded {
  Text source;
  grpc::Status status;  // of this text
  std::vector<float> vector;
  uint32_t tokens = 0;
  bool truncated = false;
};

// Of a whole run.
struct EmbedTotals {
  uint64_t texts = 0;
  uint64_t failed = 0;
  uint64_t tokens = 0;
  int dimensions = 0;
  v1::Timings timings;  // sums over the messages
};

// Calls `next` from a thread of its own, ahead by a bounded number of messages, and `emit` from the caller's, in the
// order of the texts. A text that fails is emitted with its status and does not disturb the others. Where a replica
// stops, what it has not answered goes to another one. Returns how the last stream ended: not OK when it broke, and
// then some texts were not emitted.
grpc::Status EmbedTexts(const Client& client, const EmbedSettings& settings, const std::function<bool(Text&)>& next,
                        const std::function<void(Embedded&&)>& emit, EmbedTotals& totals);

}  // namespace attnd

#endif  // ATTND_CLIENT_EMBEDDER_H_
