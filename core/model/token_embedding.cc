#include "core/model/token_embedding.h"

#include <utility>

namespace attnd {

void TokenEmbedding::Run(const PackedBatch& batch, WorkTeam::Session& team, AlignedBuffer<float>& scratch,
                         float* hidden) const {
  const int width = words.width();
  float* rows = hidden;
  if (projection.has_value()) {
    scratch.Reserve((int64_t{batch.tokens()} + Linear::kPaddingRows) * width);
    rows = scratch.data();
  }
  const bool typed = static_cast<int64_t>(types.size()) > width;
  team.ParallelFor(batch.sequences(), [&](int64_t sequence, int) {
    int32_t position = padding_id;
    for (int t = batch.begins[sequence]; t < batch.begins[sequence + 1]; ++t) {
      float* row = rows + int64_t{t} * width;
      const bool padding = padding_id >= 0 && batch.ids[t] == padding_id;
      if (!padding) ++position;
      words.Copy(batch.ids[t], row);
      if (!types.empty()) {
        const float* type = types.data() + (typed ? int64_t{batch.type_ids[t]} * width : 0);
        for (int c = 0; c < width; ++c) row[c] += type[c];
      }
      if (!positions.empty()) {
        const float* at = positions.data() + int64_t{padding ? padding_id : position} * width;
        for (int c = 0; c < width; ++c) row[c] += at[c];
      }
      norm.Run(row, 1, row);
    }
  });
  if (projection.has_value()) projection->Run(team, rows, batch.tokens(), Activation::kNone, hidden);
}

int64_t TokenEmbedding::bytes() const {
  return words.bytes() + static_cast<int64_t>((positions.size() + types.size()) * sizeof(float)) +
         (projection.has_value() ? projection->bytes() : 0);
}

TokenEmbedding ReadTokenEmbedding(WeightReader& reader, const ModelConfig& config, const std::string& projection) {
  const int width = config.word_size;
  TokenEmbedding embedding;
  embedding.words =
      WordTable(reader.Read("embeddings.word_embeddings.weight", {config.vocab_size, width}), width, config.precision);
  embedding.positions = reader.Read("embeddings.position_embeddings.weight", {config.max_positions, width});
  if (config.type_vocab_size > 0) {
    embedding.types = reader.Read("embeddings.token_type_embeddings.weight", {config.type_vocab_size, width});
  }
  embedding.norm = ReadNorm(reader, "embeddings.LayerNorm", width, config.layer_norm_eps);
  embedding.padding_id = config.padding_id;
  if (!projection.empty()) {
    auto linear = reader.ReadLinear(projection, config.hidden_size, width);
    if (linear.ok()) embedding.projection.emplace(*std::move(linear));
  }
  return embedding;
}

}  // namespace attnd
