// A Dense module of sentence-transformers with weights out of a seed: as files, and computed plainly.
#ifndef ATTND_TESTS_GOLDEN_DENSE_MODULE_H_
#define ATTND_TESTS_GOLDEN_DENSE_MODULE_H_

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace attnd::golden {

class DenseModule {
 public:
  DenseModule(int inputs, int outputs, bool tanh, unsigned seed) : tanh_(tanh), weight_(inputs * outputs) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, 0.3f);
    for (float& w : weight_) w = normal(random);
    bias_.resize(outputs);
    for (float& b : bias_) b = normal(random);
  }

  // config.json and model.safetensors.
  void Write(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    const char* activation = tanh_ ? "torch.nn.modules.activation.Tanh" : "torch.nn.modules.linear.Identity";
    std::ofstream(folder / "config.json")
        << nlohmann::json{{"in_features", inputs()}, {"out_features", outputs()}, {"activation_function", activation}};
    const size_t weight_bytes = weight_.size() * sizeof(float), bias_bytes = bias_.size() * sizeof(float);
    const auto tensor = [](const std::vector<int>& shape, size_t begin, size_t bytes) {
      return nlohmann::json{{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, begin + bytes}}};
    };
    const std::string header = nlohmann::json{{"linear.weight", tensor({outputs(), inputs()}, 0, weight_bytes)},
                                              {"linear.bias", tensor({outputs()}, weight_bytes, bias_bytes)}}
                                   .dump();
    const uint64_t size = header.size();
    std::ofstream file(folder / "model.safetensors", std::ios::binary);
    file.write(reinterpret_cast<const char*>(&size), sizeof(size)) << header;
    file.write(reinterpret_cast<const char*>(weight_.data()), static_cast<std::streamsize>(weight_bytes));
    file.write(reinterpret_cast<const char*>(bias_.data()), static_cast<std::streamsize>(bias_bytes));
  }

  std::vector<float> Of(const std::vector<float>& x /* [inputs] */) const {
    std::vector<float> y;  // [outputs]
    for (int o = 0; o < outputs(); ++o) {
      double sum = bias_[o];
      for (int i = 0; i < inputs(); ++i) sum += double{weight_[o * inputs() + i]} * x[i];
      y.push_back(static_cast<float>(tanh_ ? std::tanh(sum) : sum));
    }
    return y;
  }

  int outputs() const { return static_cast<int>(bias_.size()); }
  int inputs() const { return static_cast<int>(weight_.size()) / outputs(); }

 private:
  const bool tanh_;
  std::vector<float> weight_;  // [outputs, inputs]
  std::vector<float> bias_;    // [outputs]
};

}  // namespace attnd::golden

#endif  // ATTND_TESTS_GOLDEN_DENSE_MODULE_H_
