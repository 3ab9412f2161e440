// How far the embeddings of bf16 and int8 are from those of f32, over real texts.
//   fidelity MODEL_FOLDER TEXTS.json
// Prints one JSON object: of each precision the lowest and the mean cosine to f32.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/cpu.h"
#include "core/engine/engine.h"

namespace attnd {
namespace {

// [texts][hidden]
std::vector<std::vector<float>> Embed(const std::string& folder, const nlohmann::json& texts, Precision precision) {
  auto model = Model::Load(folder, precision);
  if (!model.ok()) {
    std::cerr << model.status() << "\n";
    std::exit(2);
  }
  WorkTeam team(AvailableCpus());
  Engine engine(**model, team);
  std::vector<std::vector<float>> vectors;
  for (const std::string text : texts) {
    auto encoding =
        (*model)->tokenizer->Encode(text, {.max_tokens = (*model)->config.max_tokens, .truncate = Truncate::kEnd});
    std::vector<float>& vector = vectors.emplace_back((*model)->config.hidden_size);
    const SequenceJob job = {.ids = encoding->ids, .embedding = vector.data()};
    engine.Run({&job, 1}, [] { return true; }).IgnoreError();
  }
  return vectors;
}

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return product / std::sqrt(aa * bb);
}

int Main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: fidelity MODEL_FOLDER TEXTS.json\n";
    return 2;
  }
  nlohmann::json texts;
  std::ifstream(argv[2]) >> texts;
  GetCpuPath();
  const auto exact = Embed(argv[1], texts, Precision::kF32);
  nlohmann::json result = {{"texts", exact.size()}, {"cpu_path", std::string(CpuPathName())}};
  for (const Precision precision : {Precision::kBf16, Precision::kInt8}) {
    const auto vectors = Embed(argv[1], texts, precision);
    double lowest = 1, sum = 0;
    for (size_t i = 0; i < exact.size(); ++i) {
      const double cosine = Cosine(exact[i], vectors[i]);
      lowest = std::min(lowest, cosine);
      sum += cosine;
    }
    result[std::string(PrecisionName(precision))] = {{"path", std::string(PrecisionPath(precision))},
                                                     {"lowest_cosine", lowest},
                                                     {"mean_cosine", sum / static_cast<double>(exact.size())}};
  }
  std::cout << result.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace attnd

int main(int argc, char** argv) { return attnd::Main(argc, argv); }
