// Any bytes as a tokenizer.json. What is accepted must encode and decode without a fault, or with an error.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/text/tokenizer.h"

namespace attnd {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckEncoding(const Tokenizer& tokenizer, const absl::StatusOr<Encoding>& encoding, size_t text_bytes) {
  if (!encoding.ok()) return;
  for (int t = 0; t < encoding->tokens(); ++t) {
    Check(encoding->ids[t] >= 0 && encoding->ids[t] < tokenizer.vocabulary_size());
    Check(encoding->spans[t].begin >= 0 && encoding->spans[t].end <= static_cast<int32_t>(text_bytes));
    Check(encoding->sequence_ids[t] >= -1 && encoding->sequence_ids[t] <= 1);
  }
  (void)tokenizer.Decode(encoding->ids, true);
  (void)tokenizer.Decode(encoding->ids, false);
}

void Fuzz(std::string_view input) {
  auto tokenizer = Tokenizer::Parse(input, "fuzz");
  if (!tokenizer.ok()) {
    Check(tokenizer.status().message().size() < 500);
    return;
  }
  const std::string text = "You are a wish, to be h\u00e9re \u6771\u4eac [SEP] \U0001f642";
  CheckEncoding(**tokenizer, (*tokenizer)->Encode(text, {}), text.size());
  CheckEncoding(**tokenizer, (*tokenizer)->EncodePair(text, "be good", {.max_tokens = 8, .truncate = Truncate::kEnd}),
                text.size());
  for (int32_t id = 0; id < 16; ++id) (void)(*tokenizer)->TokenId((*tokenizer)->TokenText(id));
}

}  // namespace
}  // namespace attnd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* input, size_t size) {
  attnd::Fuzz(std::string_view(reinterpret_cast<const char*>(input), size));
  return 0;
}
