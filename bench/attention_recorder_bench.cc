// What the recorder costs: nanoseconds a row of one head, with the tiles of a 6 x 12 encoder in cache.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "core/attention/recorder.h"

namespace attnd {
namespace {

constexpr int kLayers = 6;
constexpr int kHeads = 12;

void Record(benchmark::State& state, const AttentionSpec& spec) {
  const int tokens = static_cast<int>(state.range(0));
  std::mt19937 random(1);
  std::exponential_distribution<float> weight(1.0f);
  // One map for all heads: the model's own are hot, too, when they arrive.
  const int stride = (tokens + 15) / 16 * 16;
  std::vector<float> map(static_cast<size_t>(tokens) * stride, 0.0f);  // [tokens, stride]
  for (int i = 0; i < tokens; ++i) {
    float sum = 0;
    for (int j = 0; j < tokens; ++j) {
      const float w = weight(random);
      sum += map[static_cast<size_t>(i) * stride + j] = w * w * w;
    }
    for (int j = 0; j < tokens; ++j) map[static_cast<size_t>(i) * stride + j] /= sum;
  }
  std::vector<uint8_t> special(tokens, 0);
  special.at(0) = special.at(tokens - 1) = 1;
  std::vector<int32_t> words(tokens);
  for (int i = 0; i < tokens; ++i) words[i] = i / 2;

  for (auto _ : state) {
    AttentionRecorder recorder(*AttentionPlan::Make(spec, {kLayers, kHeads, tokens, special, words}));
    for (int layer = 0; layer < kLayers; ++layer) {
      for (int head = 0; head < kHeads; ++head) {
        if (!recorder.Wants(layer, head)) continue;
        for (int begin = 0; begin < tokens; begin += 64) {
          const int count = std::min(64, tokens - begin);
          recorder.Tile(
              {layer, head, begin, count, tokens, map.data() + static_cast<size_t>(begin) * stride, stride, nullptr});
        }
      }
    }
    benchmark::DoNotOptimize(recorder.Finish());
  }
  const double rows = static_cast<double>(state.iterations()) * kLayers * kHeads * tokens;
  state.counters["ns_per_row"] =
      benchmark::Counter(rows * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["us_per_token"] = benchmark::Counter(static_cast<double>(state.iterations()) * tokens * 1e-6,
                                                      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

AttentionSpec Statistics(uint32_t statistics) {
  AttentionSpec spec;
  spec.maps = false;
  spec.statistics = statistics;
  return spec;
}

AttentionSpec Maps(AttentionDtype dtype, AttentionLayout layout = AttentionLayout::kDense,
                   AttentionReduce reduce = AttentionReduce::kNone, bool word_level = false) {
  AttentionSpec spec;
  spec.dtype = dtype;
  spec.layout = layout;
  spec.reduce = reduce;
  spec.word_level = word_level;
  return spec;
}

#define RECORD(name, spec) BENCHMARK_CAPTURE(Record, name, spec)->Arg(16)->Arg(45)->Arg(128)->Arg(512)

RECORD(statistics_all, Statistics(kStatAll));
RECORD(statistics_entropy, Statistics(kStatEntropy));
RECORD(statistics_confidence, Statistics(kStatConfidence));
RECORD(maps_f32, Maps(AttentionDtype::kF32));
RECORD(maps_f16, Maps(AttentionDtype::kF16));
RECORD(maps_u8, Maps(AttentionDtype::kU8));
RECORD(maps_top8_f32, Maps(AttentionDtype::kF32, AttentionLayout::kTopK));
RECORD(head_mean_f32, Maps(AttentionDtype::kF32, AttentionLayout::kDense, AttentionReduce::kHeadMean));
RECORD(rollout_f32, Maps(AttentionDtype::kF32, AttentionLayout::kDense, AttentionReduce::kRollout));
RECORD(words_f32, Maps(AttentionDtype::kF32, AttentionLayout::kDense, AttentionReduce::kNone, true));

}  // namespace
}  // namespace attnd

BENCHMARK_MAIN();
