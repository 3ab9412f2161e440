#include "server/rpc/entities.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace attnd {
namespace {

// Tokens that are labelled together: one, or those of a word.
struct Unit {
  int begin_token;
  int end_token;
  size_t label;
  float score;
};

size_t Best(absl::Span<const float> row) {
  return static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

class Labeller {
 public:
  Labeller(const Encoding& encoding, absl::Span<const float> scores, size_t labels)
      : encoding_(encoding), scores_(scores), labels_(labels) {}

  std::vector<Unit> Units(Aggregation aggregation) const {
    const bool by_word = aggregation != Aggregation::kNone && aggregation != Aggregation::kSimple;
    std::vector<Unit> units;
    for (int t = 0; t < encoding_.tokens();) {
      int end = t + 1;
      if (encoding_.special[static_cast<size_t>(t)] == 0) {
        while (by_word && end < encoding_.tokens() && SameWord(t, end)) ++end;
        units.push_back(Label(t, end, aggregation));
      }
      t = end;
    }
    return units;
  }

 private:
  bool SameWord(int a, int b) const {
    return encoding_.special[static_cast<size_t>(b)] == 0 &&
           encoding_.word_ids[static_cast<size_t>(a)] == encoding_.word_ids[static_cast<size_t>(b)];
  }
  absl::Span<const float> Row(int token) const {
    return scores_.subspan(static_cast<size_t>(token) * labels_, labels_);
  }

  Unit Label(int begin, int end, Aggregation aggregation) const {
    if (aggregation == Aggregation::kAverage) {
      std::vector<float> mean(labels_);
      for (int t = begin; t < end; ++t) {
        for (size_t i = 0; i < labels_; ++i) mean[i] += Row(t)[i] / static_cast<float>(end - begin);
      }
      return {begin, end, Best(mean), mean[Best(mean)]};
    }
    int chosen = begin;
    if (aggregation == Aggregation::kMax) {
      for (int t = begin + 1; t < end; ++t) {
        if (Row(t)[Best(Row(t))] > Row(chosen)[Best(Row(chosen))]) chosen = t;
      }
    }
    return {begin, end, Best(Row(chosen)), Row(chosen)[Best(Row(chosen))]};
  }

  const Encoding& encoding_;
  const absl::Span<const float> scores_;
  const size_t labels_;
};

// "B-PER": begins, "PER". Labels without a prefix go on with what came before, where that is the same.
std::pair<bool, absl::string_view> Split(absl::string_view label) {
  if (absl::StartsWith(label, "B-")) return {true, label.substr(2)};
  if (absl::StartsWith(label, "I-")) return {false, label.substr(2)};
  return {false, label};
}

}  // namespace

std::vector<TokenEntity> FindEntities(const Encoding& encoding, absl::Span<const float> scores,
                                      absl::Span<const std::string> labels, Aggregation aggregation) {
  std::vector<TokenEntity> entities;
  const std::vector<Unit> units = Labeller(encoding, scores, labels.size()).Units(aggregation);
  for (size_t i = 0; i < units.size();) {
    size_t end = i + 1;
    absl::string_view label = labels[units[i].label];
    float score = units[i].score;
    if (aggregation != Aggregation::kNone) {
      label = Split(label).second;
      for (; end < units.size(); ++end) {
        const auto [begins, next] = Split(labels[units[end].label]);
        if (begins || next != label) break;
        score += units[end].score;
      }
    }
    if (label != "O") {
      const Unit &first = units[i], &last = units[end - 1];
      entities.push_back({.label = std::string(label),
                          .score = score / static_cast<float>(end - i),
                          .begin_token = first.begin_token,
                          .end_token = last.end_token,
                          .begin = encoding.spans[static_cast<size_t>(first.begin_token)].begin,
                          .end = encoding.spans[static_cast<size_t>(last.end_token) - 1].end});
    }
    i = end;
  }
  return entities;
}

}  // namespace attnd
