// The attention behind each token of an answer, as attnd.v1 sends it.
#ifndef ATTND_SERVER_RPC_GENERATION_ATTENTION_H_
#define ATTND_SERVER_RPC_GENERATION_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "attnd/v1/generation.pb.h"
#include "core/attention/encoding.h"
#include "core/attention/selection.h"
#include "core/attention/token_rows.h"

namespace attnd {

// What is wanted. Constant; shared by the answers of a call.
struct TokenAttentionSpec {
  HeadSelection selection;
  bool rows = true;
  bool statistics = false;
  bool head_mean = false;  // one row, the mean over the selection
  bool half = false;       // f16
  int top_k = 0;           // 0: all columns

  int sent_heads() const { return head_mean ? 1 : selection.size(); }
  // Of what is sent for a row of `columns` columns; everything that grows with them or with the heads.
  int64_t Bytes(int columns) const;
  // Of all tokens of an answer of at most `max_tokens` to a prompt of `prompt`, within `context` tokens together.
  int64_t AnswerBytes(int prompt, int max_tokens, int context) const;
  // What an answer holds at a time: its rows, those of drafts, and what is made of them.
  int64_t HeldBytes(int prompt, int max_tokens, int context) const;
};

// `field`: where the specification stands in the request. kInvalidArgument names "field.part" and the limit.
absl::StatusOr<TokenAttentionSpec> ToTokenAttentionSpec(const v1::GenerationAttention& attention, int layers, int heads,
                                                        absl::string_view field = "attention");
// The heads in the order of what follows.
void FillHeads(const TokenAttentionSpec& spec, v1::GenerationStart& start);

// One answer's: a sink of its generation, read between steps.
class TokenAttention {
 public:
  // `spec` outlives it; `context` tokens is the most that the sequence may have.
  TokenAttention(const TokenAttentionSpec& spec, std::vector<int32_t> prompt, int context);

  AttentionSink& sink() { return rows_; }
  // What is behind `token`, which just came out. Once for each token, in order.
  void Fill(int32_t token, v1::TokenAttention& to);

 private:
  void AddRow(absl::Span<const float> row, v1::TokenAttention& to);

  const TokenAttentionSpec& spec_;
  const int prompt_;          // tokens
  std::vector<int32_t> ids_;  // up to the last row's token
  TokenRows rows_;
  TopK top_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_GENERATION_ATTENTION_H_
