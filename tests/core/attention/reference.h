// Naive double references for the attention library, and a sequence of random probabilities to hold it against.
#ifndef ATTND_TESTS_CORE_ATTENTION_REFERENCE_H_
#define ATTND_TESTS_CORE_ATTENTION_REFERENCE_H_

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "core/attention/recorder.h"

namespace attnd {

using Matrix = std::vector<std::vector<double>>;

// The attention of one sequence: words of one to four pieces between special tokens.
class RandomSequence {
 public:
  RandomSequence(int layers, int heads, int tokens, unsigned seed, double sharpness = 2.0)
      : layers_(layers), heads_(heads), tokens_(tokens), special_(tokens, 0), word_ids_(tokens, -1), random_(seed) {
    special_.front() = special_.back() = 1;
    if (tokens > 8) special_[tokens / 2] = 1;  // a pair: the word ids start again behind the separator
    int word = -1;
    int pieces = 0;
    for (int i = 0; i < tokens; ++i) {
      if (special_[i]) {
        word = -1;
        pieces = 0;
        continue;
      }
      if (pieces-- <= 0) {
        ++word;
        pieces = static_cast<int>(random_() % 4);
      }
      word_ids_[i] = word;
    }
    for (int i = 0; i < tokens; ++i) ids_.push_back(static_cast<int32_t>(random_() % 7));
    std::normal_distribution<double> score(0.0, sharpness);
    probabilities_.resize(static_cast<size_t>(layers) * heads * tokens * tokens);
    for (size_t row = 0; row < probabilities_.size(); row += tokens) {
      double sum = 0;
      std::vector<double> weights(tokens);
      for (double& weight : weights) sum += weight = std::exp(score(random_));
      for (int j = 0; j < tokens; ++j) probabilities_[row + j] = static_cast<float>(weights[j] / sum);
    }
  }

  AttentionInputs Inputs() const { return {layers_, heads_, tokens_, special_, word_ids_, ids_}; }
  float* Head(int layer, int head) {
    return &probabilities_[(static_cast<size_t>(layer) * heads_ + head) * tokens_ * tokens_];
  }
  const float* Head(int layer, int head) const { return const_cast<RandomSequence*>(this)->Head(layer, head); }
  Matrix HeadMatrix(int layer, int head) const {
    Matrix matrix(tokens_, std::vector<double>(tokens_));
    for (int i = 0; i < tokens_; ++i) {
      for (int j = 0; j < tokens_; ++j) matrix[i][j] = Head(layer, head)[static_cast<size_t>(i) * tokens_ + j];
    }
    return matrix;
  }

  // Delivers every wanted tile: in order with whole heads when `threads` is 0, else cut and ordered at random, by that
  // many threads.
  void Deliver(AttentionSink& sink, int threads = 0) {
    std::vector<AttentionTile> tiles;
    for (int layer = 0; layer < layers_; ++layer) {
      for (int head = 0; head < heads_; ++head) {
        if (!sink.Wants(layer, head)) continue;
        for (int begin = 0; begin < tokens_;) {
          const int count = threads == 0 ? tokens_ : std::min<int>(tokens_ - begin, 1 + random_() % 9);
          tiles.push_back({layer, head, begin, count, tokens_, Head(layer, head) + static_cast<size_t>(begin) * tokens_,
                           tokens_, nullptr});
          begin += count;
        }
      }
    }
    if (threads == 0) {
      for (const AttentionTile& tile : tiles) sink.Tile(tile);
      return;
    }
    std::shuffle(tiles.begin(), tiles.end(), random_);
    std::atomic<size_t> next{0};
    std::vector<std::thread> workers;
    for (int i = 0; i < threads; ++i) {
      workers.emplace_back([&] {
        for (size_t at; (at = next.fetch_add(1)) < tiles.size();) sink.Tile(tiles[at]);
      });
    }
    for (std::thread& worker : workers) worker.join();
  }

  int layers() const { return layers_; }
  int heads() const { return heads_; }
  int tokens() const { return tokens_; }
  const std::vector<uint8_t>& special() const { return special_; }
  const std::vector<int32_t>& word_ids() const { return word_ids_; }
  const std::vector<int32_t>& ids() const { return ids_; }

 private:
  const int layers_, heads_, tokens_;
  std::vector<uint8_t> special_;
  std::vector<int32_t> word_ids_;
  std::vector<int32_t> ids_;          // few different ones, so that they repeat
  std::vector<float> probabilities_;  // [layers, heads, tokens, tokens]
  std::mt19937 random_;
};

inline Matrix Multiply(const Matrix& a, const Matrix& b) {
  Matrix c(a.size(), std::vector<double>(b[0].size(), 0.0));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b[0].size(); ++j) {
      for (size_t k = 0; k < b.size(); ++k) c[i][j] += a[i][k] * b[k][j];
    }
  }
  return c;
}

// The [tokens, tokens] maps before any shaping.
inline std::vector<Matrix> ReferenceReduced(const RandomSequence& sequence, const HeadSelection& selection,
                                            AttentionReduce reduce) {
  std::vector<Matrix> maps;
  if (reduce == AttentionReduce::kNone) {
    for (const LayerHead& item : selection.items()) maps.push_back(sequence.HeadMatrix(item.layer, item.head));
    return maps;
  }
  const int n = sequence.tokens();
  for (int layer = 0; layer < sequence.layers(); ++layer) {
    Matrix reduced(n, std::vector<double>(n, 0.0));
    int heads = 0;
    for (const LayerHead& item : selection.items()) {
      if (item.layer != layer) continue;
      ++heads;
      const Matrix head = sequence.HeadMatrix(layer, item.head);
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
          reduced[i][j] =
              reduce == AttentionReduce::kHeadMax ? std::max(reduced[i][j], head[i][j]) : reduced[i][j] + head[i][j];
        }
      }
    }
    if (heads == 0) continue;
    if (reduce != AttentionReduce::kHeadMax) {
      for (auto& row : reduced) {
        for (double& p : row) p /= heads;
      }
    }
    maps.push_back(reduced);
  }
  if (reduce == AttentionReduce::kLayerMean) {
    Matrix mean(n, std::vector<double>(n, 0.0));
    for (const Matrix& map : maps) {
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) mean[i][j] += map[i][j] / static_cast<double>(maps.size());
      }
    }
    return {mean};
  }
  if (reduce == AttentionReduce::kRollout) {
    Matrix rollout;
    for (Matrix& a : maps) {
      for (int i = 0; i < n; ++i) {
        a[i][i] += 1.0;
        double sum = 0;
        for (const double p : a[i]) sum += p;
        for (double& p : a[i]) p /= sum;
      }
      rollout = rollout.empty() ? a : Multiply(a, rollout);
    }
    return {rollout};
  }
  return maps;
}

// A map after special tokens, words and ranges [begin, end).
inline Matrix ReferenceShaped(const RandomSequence& sequence, Matrix map, const AttentionSpec& spec, TokenSpan queries,
                              TokenSpan keys) {
  const int n = sequence.tokens();
  const auto special = [&](int i) { return sequence.special()[i] != 0; };
  if (spec.special == SpecialTokens::kRenormalize) {
    for (auto& row : map) {
      double sum = 0;
      for (int j = 0; j < n; ++j) sum += special(j) ? 0 : row[j];
      for (double& p : row) p /= sum;
    }
  }
  // Groups of tokens: one each, or the pieces of a word.
  std::vector<std::vector<int>> groups;
  for (int i = 0; i < n; ++i) {
    if (special(i) && spec.special != SpecialTokens::kKeep) continue;
    const bool same = spec.word_level && i > 0 && !special(i) && !special(i - 1) &&
                      sequence.word_ids()[i] == sequence.word_ids()[i - 1];
    if (same) {
      groups.back().push_back(i);
    } else {
      groups.push_back({i});
    }
  }
  const auto inside = [](const std::vector<int>& group, TokenSpan span) {
    return std::any_of(group.begin(), group.end(), [&](int i) { return i >= span.begin && i < span.end; });
  };
  Matrix shaped;
  for (const auto& query : groups) {
    if (!inside(query, queries)) continue;
    shaped.emplace_back();
    for (const auto& key : groups) {
      if (!inside(key, keys)) continue;
      double sum = 0;
      for (const int i : query) {
        for (const int j : key) sum += map[i][j];
      }
      shaped.back().push_back(sum / static_cast<double>(query.size()));
    }
  }
  return shaped;
}

}  // namespace attnd

#endif  // ATTND_TESTS_CORE_ATTENTION_REFERENCE_H_
