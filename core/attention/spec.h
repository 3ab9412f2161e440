// AttentionSpec: what a request asks of the attention. AttentionInputs: what of the model and the sequence decides its
// size.
#ifndef ATTND_CORE_ATTENTION_SPEC_H_
#define ATTND_CORE_ATTENTION_SPEC_H_

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "core/attention/index_range.h"
#include "core/attention/selection.h"

namespace attnd {

// How the selected heads become maps.
enum class AttentionReduce {
  kNone,       // one map a selected head
  kHeadMean,   // one map a layer: the mean of its selected heads
  kHeadMax,    // one map a layer: the maximum of its selected heads
  kLayerMean,  // one map: the mean over the layers of their head means
  kRollout,    // one map: A_l = rownorm(head mean_l + I), A_top ... A_1 A_0 over the selected layers
};
enum class AttentionLayout {
  kDense,
  kTopK,  // the k largest of each row, largest first, and the mass of the row that they leave out
};
enum class AttentionDtype {
  kF32,
  kF16,
  kU8,  // q = round(255 sqrt(p / scale)), scale the maximum of the row; p = scale (q / 255)^2
};
enum class SpecialTokens {
  kKeep,
  kDrop,         // their rows and columns are left out
  kRenormalize,  // left out, and what remains of each row is rescaled to sum 1
};

// Statistics of the probabilities P of a head, rows i, keys j. They see whole rows: ranges, special-token and word
// options of the maps do not touch them. Bits of AttentionSpec::statistics; docs/attention-maps.md has the formulas.
enum AttentionStatistic : uint32_t {
  kStatEntropy = 1u << 0,       // [heads, tokens], nats, of each row
  kStatMeanEntropy = 1u << 1,   // [heads], mean of the rows' entropies
  kStatConfidence = 1u << 2,    // [heads], mean of the rows' maxima
  kStatDistance = 1u << 3,      // [heads], mean of |i - j| weighted by P, in tokens
  kStatSelf = 1u << 4,          // [heads], mean of P_i,i
  kStatPrevious = 1u << 5,      // [heads], mean of P_i,i-1 over the rows that have a previous token
  kStatNext = 1u << 6,          // [heads], mean of P_i,i+1 over the rows that have a next token
  kStatSpecialMass = 1u << 7,   // [heads], mean of the mass on special tokens
  kStatReceivedMass = 1u << 8,  // [heads, tokens], sum over the rows of P_i,j for each key j
  // Shares of all mass: on tokens right after an earlier occurrence of the row's token ("In-context Learning and
  // Induction Heads", Olsson et al., 2022), and on earlier occurrences themselves. They need AttentionInputs::ids.
  kStatInduction = 1u << 9,   // [heads]
  kStatDuplicate = 1u << 10,  // [heads]
  kStatAll = (1u << 11) - 1,
};

struct AttentionSpec {
  bool maps = true;                        // false: statistics only; everything up to word_level is ignored
  std::optional<HeadSelection> selection;  // heads of the maps; nothing: all
  IndexRange queries;                      // rows kept, in tokens
  IndexRange keys;                         // columns kept, in tokens
  AttentionReduce reduce = AttentionReduce::kNone;
  AttentionLayout layout = AttentionLayout::kDense;
  int top_k = 8;  // at least 1; more than the columns means all columns
  AttentionDtype dtype = AttentionDtype::kF32;
  SpecialTokens special = SpecialTokens::kKeep;
  bool word_level = false;  // sum over the key word's pieces, mean over the query word's pieces
  uint32_t statistics = 0;  // AttentionStatistic bits
  std::optional<HeadSelection> statistics_selection;  // heads of the statistics; nothing: all
};

// Views; they need to live only as long as the call that takes them.
struct AttentionInputs {
  int layers = 0;
  int heads = 0;
  int tokens = 0;
  absl::Span<const uint8_t> special;   // [tokens], 1: special token
  absl::Span<const int32_t> word_ids;  // [tokens], equal for adjacent pieces of a word, negative: a word of its own
  absl::Span<const int32_t> ids;       // [tokens], of the vocabulary; or empty: as if none came twice
};

}  // namespace attnd

#endif  // ATTND_CORE_ATTENTION_SPEC_H_
