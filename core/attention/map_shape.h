// MapShape: how a [tokens, tokens] map becomes the rows and columns that were asked for.
#ifndef ATTND_CORE_ATTENTION_MAP_SHAPE_H_
#define ATTND_CORE_ATTENTION_MAP_SHAPE_H_

#include <vector>

#include "absl/status/statusor.h"
#include "core/attention/spec.h"

namespace attnd {

// A row or column of the result is a token or, at word level, a word. Order of the operations: special tokens, words,
// ranges. Ranges count tokens; a word is kept whole when any of its pieces is inside. Constant after Make.
class MapShape {
 public:
  // kInvalidArgument when a range is empty, or only special tokens that are dropped are inside it.
  static absl::StatusOr<MapShape> Make(const AttentionSpec& spec, const AttentionInputs& inputs);
  MapShape() = default;  // no rows, no columns

  int rows() const { return static_cast<int>(row_tokens_.size()); }
  int columns() const { return static_cast<int>(column_tokens_.size()); }
  // Whether rows and columns are the tokens and every value stays as it is.
  bool is_whole() const { return rows() == static_cast<int>(row_of_.size()) && columns() == rows() && rest_.empty(); }
  const std::vector<TokenSpan>& row_tokens() const { return row_tokens_; }        // ascending, disjoint
  const std::vector<TokenSpan>& column_tokens() const { return column_tokens_; }  // ascending, disjoint
  // The result's row that token `i` belongs to, or -1.
  int RowOf(int i) const { return row_of_[i]; }
  // The position of token `i` among the tokens that have a row, or -1.
  int RankOf(int i) const { return rank_of_[i]; }
  int row_token_count() const { return row_token_count_; }  // tokens with a row
  int pooled_words() const { return pooled_words_; }        // rows of several tokens
  // For such rows their number among them, else -1. // [rows]
  const std::vector<int>& pooled_index() const { return pooled_index_; }

  // The columns of one token's row. `row` is [tokens]; the result is inside `row`, or in `scratch`, [columns].
  const float* Columns(const float* row, float* scratch) const;

 private:
  std::vector<TokenSpan> row_tokens_;
  std::vector<TokenSpan> column_tokens_;
  std::vector<TokenSpan> runs_;    // tokens of the columns, joined where adjacent; when every column is one token
  std::vector<TokenSpan> rest_;    // tokens that are not special, joined; when rows are rescaled
  std::vector<int> row_of_;        // [tokens]
  std::vector<int> rank_of_;       // [tokens]
  std::vector<int> pooled_index_;  // [rows]
  int row_token_count_ = 0;
  int pooled_words_ = 0;
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_MAP_SHAPE_H_
