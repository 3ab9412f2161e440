// In-process speed of the engine on real texts, beside the ceiling: the same linears' ukernel loop and nothing else.
//   engine_bench MODEL_FOLDER TEXTS.json|latency [RUNS] [WORKERS] [MAPS] [PRECISION]
// TEXTS.json: a list of texts, or of lists of token ids. latency: one text at a time, of 8 to 512 tokens. MAPS: none,
// sink (every tile is looked at). PRECISION: f32, bf16, int8. Prints one JSON object: tokens, seconds per run for the
// engine, for tokenising, and for the bare loop of oneDNN's ukernels (of f32 where the engine's halves go through
// kernels of its own); or the medians of the latencies in ms. RUNS 0: runs until it is stopped, without the bare loop,
// and prints a line as each batch ends: seconds of the monotonic clock, and its tokens (alternate.py).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "core/base/aligned.h"
#include "core/base/cpu.h"
#include "core/engine/engine.h"
#include "core/ops/packed_weights.h"
#include "core/ops/ukernel.h"

namespace attnd {
namespace {

using Clock = std::chrono::steady_clock;
double Seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }

constexpr int kBatchTokens = 1024;

// Batches of texts up to the token budget, in the order given.
std::vector<std::pair<int, int>> Batches(const std::vector<std::vector<int32_t>>& ids) {
  std::vector<std::pair<int, int>> batches;
  int begin = 0, tokens = 0;
  for (int i = 0; i < static_cast<int>(ids.size()); ++i) {
    if (tokens > 0 && tokens + static_cast<int>(ids[i].size()) > kBatchTokens) {
      batches.emplace_back(begin, i);
      begin = i;
      tokens = 0;
    }
    tokens += static_cast<int>(ids[i].size());
  }
  batches.emplace_back(begin, static_cast<int>(ids.size()));
  return batches;
}

template <typename Fn>
double RunWorkers(int workers, int batches, const Fn& fn) {
  std::atomic<int> next = 0;
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (int w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      for (int b; (b = next++) < batches;) fn(w, b);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return Seconds(start);
}

// The linears of every layer for `rows` rows as bare ukernel calls in Linear's order.
class BareLoop {
 public:
  BareLoop(const ModelConfig& config, UkernelData data) : config_(config), data_(data) {
    const int widest = std::max(3 * config.hidden_size, config.intermediate_size);
    in_ = AlignedBuffer<float>(size_t{kBatchTokens + 576} * widest);
    out_ = AlignedBuffer<float>(size_t{kBatchTokens + 576} * widest);
    std::fill(in_.data(), in_.data() + in_.size(), kValue);
    for (int l = 0; l < config.layers; ++l) {
      for (const auto& [n, k] : Shapes()) {
        const int64_t bytes = int64_t{(n + kBlock - 1) / kBlock} * kBlock * k * Bytes(kWeight);
        weights_.emplace_back(bytes);
        // Whatever that is of the type, but no zeros, which would be cheaper to multiply.
        std::fill_n(reinterpret_cast<float*>(weights_.back().data()), bytes / static_cast<int64_t>(sizeof(float)),
                    kValue);
      }
    }
  }
  void Run(int rows) {
    size_t w = 0;
    for (int l = 0; l < config_.layers; ++l) {
      for (const auto& [n, k] : Shapes()) {
        const std::byte* weights = weights_[w++].data();
        const int blocks = (n + kBlock - 1) / kBlock;
        UkernelShape shape = {.n = kBlock, .k = k, .lda = k, .ldb = kBlock, .ldc = n, .data = data_};
        const UkernelTable* table = GetUkernelTable(shape);
        shape.n = n - (blocks - 1) * kBlock;
        const UkernelTable* last = GetUkernelTable(shape);
        for (int panel = 0; panel < rows; panel += 128) {
          for (int b = 0; b < blocks; ++b) {
            for (int row = panel; row < std::min(rows, panel + 128); row += 64) {
              const int count = std::min({64, panel + 128 - row, rows - row});
              (b + 1 == blocks ? last : table)
                  ->Run(UkernelTable::RoundRows(count),
                        reinterpret_cast<const char*>(in_.data()) + int64_t{row} * k * Bytes(kRow),
                        weights + int64_t{b} * kBlock * k * Bytes(kWeight),
                        out_.data() + size_t{1} * row * n + b * kBlock);
            }
          }
        }
      }
    }
  }

 private:
  static constexpr float kValue = 0.01f;
  enum Of { kRow, kWeight };
  int Bytes(Of of) const {
    if (data_ == UkernelData::kU8S8) return 1;
    if (data_ == UkernelData::kBf16) return 2;
    return data_ == UkernelData::kF32Bf16 && of == kWeight ? 2 : 4;
  }
  std::vector<std::pair<int, int>> Shapes() const {
    const int h = config_.hidden_size, i = config_.intermediate_size;
    return {{3 * h, h}, {h, h}, {i, h}, {h, i}};
  }
  const int kBlock = GetCpuPath() == CpuPath::kAvx512 ? 48 : 16;
  ModelConfig config_;
  UkernelData data_;
  AlignedBuffer<float> in_, out_;
  std::vector<AlignedBuffer<std::byte>> weights_;
};

// What the bare loop multiplies: f32 where the engine's halves go through kernels of its own.
UkernelData BareData(Precision precision) {
  if (precision == Precision::kInt8) return UkernelData::kU8S8;
  if (precision == Precision::kF32 || !HasUkernel(HalvesData()) || CpuHasAmx()) return UkernelData::kF32;
  return HalvesData();
}

class Look : public AttentionSink {
 public:
  bool Wants(int, int) const override { return true; }
  void Tile(const AttentionTile& tile) override { sum += tile.probabilities[0]; }
  std::atomic<float> sum = 0;
};

// The median time of one step of one text, by its length.
nlohmann::json Latencies(const Model& model, int runs, int workers) {
  WorkTeam team(workers);
  Engine engine(model, team);
  std::vector<float> embedding(model.config.hidden_size);
  nlohmann::json result;
  for (const int tokens : {8, 16, 32, 64, 128, 256, 512}) {
    if (tokens > model.config.max_positions) break;
    const std::vector<int32_t> ids(tokens, 1000 % model.config.vocab_size);
    const SequenceJob job = {.ids = ids, .embedding = embedding.data()};
    std::vector<double> times;
    for (int run = 0; run < 20 * runs; ++run) {
      const auto start = Clock::now();
      engine.Run({&job, 1}, [] { return true; }).IgnoreError();
      if (run >= 3) times.push_back(Seconds(start) * 1e3);
    }
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    result[std::to_string(tokens)] = times[times.size() / 2];
  }
  return result;
}

int Main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: engine_bench MODEL_FOLDER TEXTS.json|latency [RUNS] [WORKERS] [none|sink] [f32|bf16|int8]\n";
    return 2;
  }
  const int runs = argc > 3 ? std::stoi(argv[3]) : 3;
  const int workers = argc > 4 ? std::stoi(argv[4]) : AvailableCpus();
  const bool look = argc > 5 && std::string(argv[5]) == "sink";
  GetCpuPath();
  const auto load_start = Clock::now();
  const auto precision = ParsePrecision(argc > 6 ? argv[6] : "f32");
  if (!precision.has_value()) {
    std::cerr << "unknown precision " << argv[6] << "\n";
    return 2;
  }
  auto model = Model::Load(argv[1], *precision);
  if (!model.ok()) {
    std::cerr << model.status() << "\n";
    return 2;
  }
  nlohmann::json result = {{"load_seconds", Seconds(load_start)},
                           {"cpu_path", std::string(CpuPathName())},
                           {"precision_path", std::string(PrecisionPath(*precision))},
                           {"weight_bytes", (*model)->weight_bytes},
                           {"workers", workers}};
  if (std::string(argv[2]) == "latency") {
    result["latency_ms"] = Latencies(**model, runs, workers);
    std::cout << result.dump(1) << "\n";
    return 0;
  }
  nlohmann::json texts;
  std::ifstream(argv[2]) >> texts;

  const auto tokenise_start = Clock::now();
  std::vector<std::vector<int32_t>> ids;
  int64_t tokens = 0;
  for (const nlohmann::json& text : texts) {
    if (text.is_array()) {
      ids.push_back(text.get<std::vector<int32_t>>());
    } else {
      const EncodeOptions options = {.max_tokens = (*model)->config.max_tokens, .truncate = Truncate::kEnd};
      ids.push_back((*model)->tokenizer->Encode(text.get<std::string>(), options)->ids);
    }
    tokens += static_cast<int64_t>(ids.back().size());
  }
  result["tokenise_seconds"] = Seconds(tokenise_start);
  result["texts"] = ids.size();
  result["tokens"] = tokens;

  const auto batches = Batches(ids);
  const int width = (*model)->config.hidden_size;
  std::vector<float> embeddings(ids.size() * width);
  WorkTeam team(workers);
  std::vector<std::unique_ptr<Engine>> engines;
  std::vector<BareLoop> loops;
  for (int w = 0; w < workers; ++w) {
    engines.push_back(std::make_unique<Engine>(**model, team));
    loops.emplace_back((*model)->config, BareData(*precision));
  }
  Look sink;
  const auto run_batch = [&](int w, int b) {
    std::vector<SequenceJob> jobs;
    for (int i = batches[b].first; i < batches[b].second; ++i) {
      jobs.push_back(
          {.ids = ids[i], .sink = look ? &sink : nullptr, .embedding = embeddings.data() + size_t{1} * i * width});
    }
    engines[w]->Run(jobs, [] { return true; }).IgnoreError();
  };
  const auto tokens_of = [&](int b) {
    int rows = 0;
    for (int i = batches[b].first; i < batches[b].second; ++i) rows += static_cast<int>(ids[i].size());
    return rows;
  };
  if (runs == 0) {
    RunWorkers(workers, std::numeric_limits<int>::max(), [&](int w, int n) {
      const int b = n % static_cast<int>(batches.size());
      run_batch(w, b);
      const double now = std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
      std::cout << absl::StrFormat("%.6f %d\n", now, tokens_of(b)) << std::flush;
    });
  }
  for (int run = 0; run <= runs; ++run) {
    const double engine = RunWorkers(workers, static_cast<int>(batches.size()), run_batch);
    const double bare =
        RunWorkers(workers, static_cast<int>(batches.size()), [&](int w, int b) { loops[w].Run(tokens_of(b)); });
    if (run == 0) continue;  // warm-up
    result["engine_seconds"].push_back(engine);
    result["ukernel_seconds"].push_back(bare);
    result["engine_tokens_per_second"].push_back(tokens / engine);
    result["ratio_to_ukernel"].push_back(bare / engine);
  }
  std::cout << result.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace attnd

int main(int argc, char** argv) { return attnd::Main(argc, argv); }
