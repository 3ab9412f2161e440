// Generation in the process, without gRPC: prefill and decoding tokens a second at several streams.
// usage: decoder_bench MODEL [f32|bf16|int8] [f32|bf16|int8 (keys and values)] [STREAMS...]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/base/cpu.h"
#include "core/engine/generator.h"
#include "core/model/decoder_model.h"

namespace attnd {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kPrompt = 182, kAnswer = 64;

struct Timed : GenerationListener {
  bool Wanted() override { return true; }
  void OnToken(const GeneratedToken& token) override {
    if (token.index == 0) first = Clock::now();
  }
  void OnEnd(GenerationSummary) override { end = Clock::now(); }
  Clock::time_point first, end;
};

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

int Main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: decoder_bench MODEL [PRECISION] [KV] [STREAMS...]\n"), 2;
  const Precision precision = ParsePrecision(argc > 2 ? argv[2] : "f32").value_or(Precision::kF32);
  const std::string kv = argc > 3 ? argv[3] : "f32";
  const auto loading = Clock::now();
  auto model = DecoderModel::Load(argv[1], precision);
  if (!model.ok()) return std::fprintf(stderr, "%s\n", model.status().ToString().c_str()), 1;
  std::printf("loaded in %.2f s, %.0f MB of weights, %s, %d CPUs\n", Seconds(Clock::now() - loading),
              static_cast<double>((*model)->decoder->weight_bytes()) / 1e6,
              std::string(PrecisionPath(precision)).c_str(), AvailableCpus());
  WorkTeam team(AvailableCpus());
  std::vector<int> streams;
  for (int i = 4; i < argc; ++i) streams.push_back(std::atoi(argv[i]));
  if (streams.empty()) streams = {1, 16};
  for (const int count : streams) {
    GeneratorOptions options;
    options.kv_type = kv == "int8" ? KvType::kInt8 : kv == "bf16" ? KvType::kBf16 : KvType::kF32;
    for (int round = 0; round < 3; ++round) {
      Generator generator(*(*model)->decoder, *(*model)->tokenizer, team, options);
      std::vector<std::shared_ptr<Timed>> listeners;
      const auto start = Clock::now();
      for (int s = 0; s < count; ++s) {
        GenerationRequest request{.sampling = {.temperature = 0}, .max_tokens = kAnswer, .ignore_eos = true};
        for (int t = 0; t < kPrompt; ++t) request.prompt.push_back(1000 + (t * 7919 + s * 104729) % 40000);
        listeners.push_back(std::make_shared<Timed>());
        if (auto status = generator.Submit(std::move(request), listeners.back()); !status.ok()) return 1;
      }
      while (generator.Step()) {
      }
      auto prefilled = start, end = start;
      for (const auto& listener : listeners) {
        prefilled = std::max(prefilled, listener->first);
        end = std::max(end, listener->end);
      }
      std::printf("%2d streams, %d + %d tokens: %.3f s", count, kPrompt, kAnswer, Seconds(end - start));
      if (count == 1) {
        std::printf(", prefill %.0f tokens/s, decode %.1f tokens/s", kPrompt / Seconds(prefilled - start),
                    (kAnswer - 1) / Seconds(end - prefilled));
      } else {
        std::printf(", %.1f answer tokens/s in all", count * kAnswer / Seconds(end - start));
      }
      std::printf("\n");
    }
  }
  return 0;
}

}  // namespace
}  // namespace attnd

int main(int argc, char** argv) { return attnd::Main(argc, argv); }
