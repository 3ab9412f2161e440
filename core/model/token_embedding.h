// TokenEmbedding: token ids become the rows of the first layer.
#ifndef ATTND_CORE_MODEL_TOKEN_EMBEDDING_H_
#define ATTND_CORE_MODEL_TOKEN_EMBEDDING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/aligned.h"
#include "core/base/work_team.h"
#include "core/model/config.h"
#include "core/model/norm.h"
#include "core/model/packed_batch.h"
#include "core/model/weight_reader.h"
#include "core/model/word_table.h"
#include "core/ops/linear.h"

namespace attnd {

// The sum of a word's, a position's and a segment's vector, then a norm, then a projection where the vectors are
// narrower than the layers. Immutable after construction.
struct TokenEmbedding {
  WordTable words;               // [vocab, width]: the width of all vectors here
  std::vector<float> positions;  // [max_positions, width]; empty: none (rotary)
  std::vector<float> types;      // [type_vocab, width]; empty: none. With one row, every token has type 0
  Norm norm;
  std::optional<Linear> projection;  // width -> hidden
  // At least 0: positions begin at padding_id + 1 and count the tokens that are not padding; a token of this id gets
  // position padding_id. -1: position t for token t.
  int32_t padding_id = -1;

  // hidden: [tokens + Linear::kPaddingRows, hidden]; `scratch` holds the narrow rows.
  void Run(const PackedBatch& batch, WorkTeam::Session& team, AlignedBuffer<float>& scratch, float* hidden) const;
  int64_t bytes() const;
};

// embeddings.{word_embeddings, position_embeddings, token_type_embeddings, LayerNorm}, as BERT and its relatives name
// them, without segments where config.type_vocab_size is 0; an empty `projection`: none. Faults are the reader's.
TokenEmbedding ReadTokenEmbedding(WeightReader& reader, const ModelConfig& config, const std::string& projection);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_TOKEN_EMBEDDING_H_
