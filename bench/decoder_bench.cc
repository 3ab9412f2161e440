// Generation in the process, without gRPC: prefill and decoding tokens a second.
// usage: decoder_bench MODEL [f32|bf16|int8] [f32|bf16|int8 (keys and values)] [STREAMS] [PROMPT] [ANSWER] [ROUNDS]
//                      [LOOKUP] [PROMPTS.json]
//        decoder_bench MODEL tokenize < TEXT   prints the list of its token ids
// LOOKUP: most tokens tried beyond the next one, 0: none, -1: as the engine has it. PROMPTS.json: a list of lists of
// token ids, one a stream, each cut to PROMPT; without it prompts are pseudo-random.
// Prints a JSON object for the model and one for each round; prefill and decode where there is one stream.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/cpu.h"
#include "core/engine/generator.h"
#include "core/model/decoder_model.h"

namespace attnd {
namespace {

using Clock = std::chrono::steady_clock;

struct Timed : GenerationListener {
  bool Wanted() override { return true; }
  void OnToken(const GeneratedToken& token) override {
    if (token.index == 0) first = Clock::now();
  }
  void OnEnd(GenerationSummary) override { end = Clock::now(); }
  Clock::time_point first, end;
};

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

double PeakMegabytes() {
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1e3;
}

struct Load {
  int streams = 1, prompt = 182, answer = 64;
  std::vector<std::vector<int32_t>> prompts;  // empty: pseudo-random ones
};

std::vector<int32_t> PromptOf(const Load& load, int stream) {
  std::vector<int32_t> ids;
  for (int t = 0; t < load.prompt && load.prompts.empty(); ++t) {
    ids.push_back(1000 + (t * 7919 + stream * 104729) % 40000);
  }
  if (!load.prompts.empty()) ids = load.prompts[stream];
  ids.resize(std::min<size_t>(ids.size(), load.prompt));
  return ids;
}

nlohmann::json Run(Generator& generator, const Load& load) {
  std::vector<std::shared_ptr<Timed>> listeners;
  int prompt_tokens = 0;
  const auto start = Clock::now();
  for (int s = 0; s < load.streams; ++s) {
    GenerationRequest request{
        .prompt = PromptOf(load, s), .sampling = {.temperature = 0}, .max_tokens = load.answer, .ignore_eos = true};
    prompt_tokens += static_cast<int>(request.prompt.size());
    listeners.push_back(std::make_shared<Timed>());
    const absl::Status status = generator.Submit(std::move(request), listeners.back());
    if (!status.ok()) return {{"error", status.ToString()}};
  }
  while (generator.Step()) {
  }
  auto prefilled = start, end = start;
  for (const auto& listener : listeners) {
    prefilled = std::max(prefilled, listener->first);
    end = std::max(end, listener->end);
  }
  nlohmann::json round = {{"seconds", Seconds(end - start)},
                          {"answer_tokens_per_second", load.streams * load.answer / Seconds(end - start)},
                          {"steps", generator.Stats().steps},
                          {"drafted_tokens", generator.Stats().drafted_tokens},
                          {"accepted_draft_tokens", generator.Stats().accepted_tokens},
                          {"peak_mb", PeakMegabytes()}};
  if (load.streams == 1) {
    round["prefill_tokens_per_second"] = prompt_tokens / Seconds(prefilled - start);
    if (load.answer > 1) round["decode_tokens_per_second"] = (load.answer - 1) / Seconds(end - prefilled);
  }
  return round;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr,
                 "usage: decoder_bench MODEL [PRECISION] [KV] [STREAMS] [PROMPT] [ANSWER] [ROUNDS] [LOOKUP] "
                 "[PROMPTS.json]\n");
    return 2;
  }
  const auto number = [&](int index, int otherwise) { return argc > index ? std::atoi(argv[index]) : otherwise; };
  const Precision precision = ParsePrecision(argc > 2 ? argv[2] : "f32").value_or(Precision::kF32);
  const std::string kv = argc > 3 ? argv[3] : "f32";
  Load load = {.streams = number(4, 1), .prompt = number(5, 182), .answer = number(6, 64)};
  if (argc > 9) {
    const auto prompts = nlohmann::json::parse(std::ifstream(argv[9]), nullptr, /*allow_exceptions=*/false);
    if (!prompts.is_array() || prompts.size() < static_cast<size_t>(load.streams)) {
      return std::fprintf(stderr, "%s has no prompt for each stream\n", argv[9]), 1;
    }
    load.prompts = prompts.get<std::vector<std::vector<int32_t>>>();
  }
  const auto loading = Clock::now();
  auto model = DecoderModel::Load(argv[1], precision);
  if (!model.ok()) return std::fprintf(stderr, "%s\n", model.status().ToString().c_str()), 1;
  if (argc > 2 && std::string(argv[2]) == "tokenize") {
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    auto encoding = (*model)->tokenizer->Encode(text, {});
    if (!encoding.ok()) return std::fprintf(stderr, "%s\n", encoding.status().ToString().c_str()), 1;
    return std::printf("%s\n", nlohmann::json(encoding->ids).dump().c_str()), 0;
  }
  const nlohmann::json loaded = {{"load_seconds", Seconds(Clock::now() - loading)},
                                 {"weights_mb", static_cast<double>((*model)->decoder->weight_bytes()) / 1e6},
                                 {"loaded_peak_mb", PeakMegabytes()},
                                 {"precision_path", PrecisionPath(precision)},
                                 {"cpus", AvailableCpus()}};
  std::printf("%s\n", loaded.dump().c_str());
  WorkTeam team(AvailableCpus());
  GeneratorOptions options;
  options.kv_type = kv == "int8" ? KvType::kInt8 : kv == "bf16" ? KvType::kBf16 : KvType::kF32;
  if (number(8, -1) >= 0) options.lookup_tokens = number(8, 0);
  for (int round = 0; round < number(7, 3); ++round) {
    Generator generator(*(*model)->decoder, *(*model)->tokenizer, team, options);
    std::printf("%s\n", Run(generator, load).dump().c_str());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace attnd

int main(int argc, char** argv) { return attnd::Main(argc, argv); }
