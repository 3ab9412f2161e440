// TokenRows: the attention behind the newest token of a sequence that grows, row by row.
#ifndef ATTND_CORE_ATTENTION_TOKEN_ROWS_H_
#define ATTND_CORE_ATTENTION_TOKEN_ROWS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/attention/index_range.h"
#include "core/attention/selection.h"
#include "core/attention/sink.h"

namespace attnd {

// Numbers of one head's row.
struct TokenRowStatistics {
  float entropy;    // nats
  float sink_mass;  // weight on the first token
  // "Lookback Lens", Chuang et al., 2024: mean weight of a prompt token over its sum with that of an answer's token
  // (all after the prompt). 1 while there is none.
  float lookback_ratio;
  float copy_mass;  // weight on earlier occurrences of the token that came out of the row
};

// `ids` are the tokens up to the row's own, as many as the row has columns, `prompt` how many of them are the prompt's,
// `token` what came out.
TokenRowStatistics StatisticsOf(absl::Span<const float> row, absl::Span<const int32_t> ids, int prompt, int32_t token);

// Keeps the last row it saw of each selected head; a step's rows are whole when Engine or Generator say so (OnToken).
// Memory: selected heads x context floats, taken as the sequence grows. A sink's thread rules hold; the readers are for
// between steps.
class TokenRows : public AttentionSink {
 public:
  TokenRows(HeadSelection selection, int context /* most tokens of the sequence */);

  bool Wants(int layer, int head) const override { return selection_.IndexOf(layer, head) >= 0; }
  void Tile(const AttentionTile& tile) override;

  const HeadSelection& selection() const { return selection_; }
  // Query position of the rows, and so the count of their columns less 1; -1 before the first.
  int position() const;
  // The row of selection().items()[index]: [position() + 1].
  absl::Span<const float> Row(int index) const;
  // The mean over the selected heads: [position() + 1].
  std::vector<float> MeanRow() const;
  TokenRowStatistics Statistics(int index, absl::Span<const int32_t> ids, int prompt, int32_t token) const {
    return StatisticsOf(Row(index), ids, prompt, token);
  }

 private:
  const HeadSelection selection_;
  const int context_;
  std::vector<std::vector<float>> rows_;  // [selected], [position + 1] each
};

// Hands rows of a sequence that came in pieces to a sink that expects whole rows once each: columns after a row's own
// token up to `tokens` are 0; rows seen before (a sequence that was computed again), and those outside of `rows`, are
// dropped. Memory: a byte a row of a head. The sink must outlive this one.
class WholeRows : public AttentionSink {
 public:
  WholeRows(AttentionSink& to, int layers, int heads, int tokens, TokenSpan rows);

  bool Wants(int layer, int head) const override { return to_.Wants(layer, head); }
  void Tile(const AttentionTile& tile) override;

 private:
  AttentionSink& to_;
  const int heads_, tokens_;
  const TokenSpan rows_;
  std::vector<uint8_t> seen_;  // [layers, heads, rows], 1: handed on
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_TOKEN_ROWS_H_
