// Entities: from the labels of tokens to stretches of the text.
#ifndef ATTND_SERVER_RPC_ENTITIES_H_
#define ATTND_SERVER_RPC_ENTITIES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "core/text/tokenizer.h"

namespace attnd {

// As attnd.v1's EntityAggregation says; those of transformers' token classification pipeline.
enum class Aggregation { kSimple, kNone, kFirst, kMax, kAverage };

struct TokenEntity {
  std::string label;
  float score = 0;
  int begin_token = 0;  // [begin_token, end_token)
  int end_token = 0;
  int32_t begin = 0;  // bytes of the text, [begin, end)
  int32_t end = 0;
};

// The entities of a text in its order. `scores`: [tokens, labels], each row summing to 1. Tokens of the model's
// template are skipped; words are those of `encoding.word_ids`; what is labelled "O" is left out.
std::vector<TokenEntity> FindEntities(const Encoding& encoding, absl::Span<const float> scores,
                                      absl::Span<const std::string> labels, Aggregation aggregation);

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_ENTITIES_H_
