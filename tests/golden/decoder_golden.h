// Running a Decoder over the golden texts: whole, in chunks, several together.
#ifndef ATTND_TESTS_GOLDEN_DECODER_GOLDEN_H_
#define ATTND_TESTS_GOLDEN_DECODER_GOLDEN_H_

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/model/decoder.h"
#include "tests/golden/golden.h"

namespace attnd::golden {

inline std::unique_ptr<Decoder> LoadDecoder(const std::string& folder) {
  auto config = LoadDecoderConfig(folder);
  if (!config.ok()) throw std::runtime_error(config.status().ToString());
  auto source = OpenCheckpoint(folder);
  if (!source.ok()) throw std::runtime_error(source.status().ToString());
  auto decoder = Decoder::Make(*config, **source, CheckpointNames::kHuggingFace);
  if (!decoder.ok()) throw std::runtime_error(decoder.status().ToString());
  return *std::move(decoder);
}

// Keeps every map of one sequence.
class KeepMaps : public AttentionSink {
 public:
  KeepMaps(const DecoderConfig& config, int tokens)
      : heads_(config.heads), tokens_(tokens), maps(size_t(config.layers) * heads_ * tokens * tokens, 0.0f) {}
  bool Wants(int, int) const override { return true; }
  void Tile(const AttentionTile& tile) override {
    for (int q = 0; q < tile.query_count; ++q) {
      const float* row = tile.probabilities + size_t(q) * tile.stride;
      const size_t at = (size_t(tile.layer) * heads_ + tile.head) * tokens_ + tile.query_begin + q;
      std::copy(row, row + tile.key_count, maps.begin() + at * tokens_);
    }
  }

 private:
  const int heads_, tokens_;

 public:
  std::vector<float> maps;  // [layers, heads, tokens, tokens]
};

// One sequence that grows by steps over its own pages.
struct Growing {
  Growing(const Decoder& decoder, KvType type, int tokens)
      : decoder(decoder), pages(decoder.kv_shape(type), tokens / KvPages::kTokens + 1), table(pages.pages()) {
    std::iota(table.begin(), table.end(), 0);
    std::shuffle(table.begin(), table.end(), std::mt19937(7));
  }
  // The logits of the rows from `logits_from` on.
  std::vector<float> Step(WorkTeam& team, absl::Span<const int32_t> ids, int logits_from,
                          AttentionSink* sink = nullptr) {
    DecoderBatch batch;
    batch.Add({.ids = ids, .past = past, .table = table, .logits_from = logits_from, .sink = sink});
    WorkTeam::Session session(team);
    const auto go_on = [] { return true; };
    auto output = decoder.Forward(batch, pages, session, workspace, go_on);
    if (!output.ok()) throw std::runtime_error(output.status().ToString());
    past += static_cast<int>(ids.size());
    if (batch.logit_rows == 0) return {};
    return {output->logits, output->logits + int64_t{batch.logit_rows} * decoder.config().vocab_size};
  }

  const Decoder& decoder;
  KvPages pages;
  std::vector<int32_t> table;
  Decoder::Workspace workspace;
  int past = 0;
};

inline float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return INFINITY;
  float largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= largest)) largest = std::abs(a[i] - b[i]);  // NaN stays
  }
  return largest;
}

inline int32_t Greedy(const std::vector<float>& logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

inline double LogProbability(const float* logits, int size, int32_t token) {
  const float largest = *std::max_element(logits, logits + size);
  double sum = 0;
  for (int i = 0; i < size; ++i) sum += std::exp(double{logits[i]} - largest);
  return logits[token] - largest - std::log(sum);
}

}  // namespace attnd::golden

#endif  // ATTND_TESTS_GOLDEN_DECODER_GOLDEN_H_
