#include "client/bench/texts.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

constexpr const char* kWords[] = {
    "the",    "of",     "and",    "a",       "to",     "in",      "is",     "was",    "that",   "for",      "on",
    "with",   "as",     "by",     "at",      "from",   "they",    "we",     "it",     "river",  "market",   "engine",
    "people", "water",  "light",  "house",   "small",  "large",   "old",    "new",    "first",  "last",     "found",
    "made",   "said",   "went",   "came",    "took",   "knows",   "train",  "letter", "window", "garden",   "music",
    "paper",  "number", "winter", "morning", "simple", "quickly", "always", "never",  "though", "because",  "before",
    "after",  "under",  "over",   "between", "story",  "science", "system", "memory", "answer", "question", "mountain"};

// In (0, 1): the standard's distributions differ between libraries, its generator does not.
double Uniform(std::mt19937& random) { return (random() + 0.5) / 4294967296.0; }

double Normal(std::mt19937& random) {
  const double radius = std::sqrt(-2 * std::log(Uniform(random)));
  return radius * std::cos(2 * 3.14159265358979323846 * Uniform(random));
}

}  // namespace

std::vector<std::string> MakeTexts(int count, int words, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::string> texts(count);
  for (std::string& text : texts) {
    const int length = std::clamp(static_cast<int>(std::lround(words * std::exp(0.6 * Normal(random)))), 1, 350);
    for (int i = 0; i < length; ++i) absl::StrAppend(&text, i == 0 ? "" : " ", kWords[random() % std::size(kWords)]);
    text.push_back('.');
  }
  return texts;
}

}  // namespace attnd
