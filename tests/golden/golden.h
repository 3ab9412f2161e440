// Golden texts: what the Hugging Face libraries made of a text, beside the tokenizer that must make the same.
#ifndef ATTND_TESTS_GOLDEN_GOLDEN_H_
#define ATTND_TESTS_GOLDEN_GOLDEN_H_

#include <cstdlib>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/text/tokenizer.h"
#include "core/weights/safetensors.h"

namespace attnd::golden {

// Tests fail, and are not skipped, where a model is absent: gtest reports the exception's text.
inline std::string ModelPath(const std::string& name, const std::string& file) {
  const auto variable = [](const char* name) {
    return std::string(std::getenv(name) == nullptr ? "" : std::getenv(name));
  };
  std::string models = variable("ATTND_MODELS");
  if (models.empty()) models = variable("HOME") + "/.cache/attnd/models";
  const std::string path = models + "/" + name;
  if (!std::ifstream(path + file)) {
    throw std::runtime_error(path + file +
                             " is not there: run `./dev models`, or set ATTND_MODELS to the folder that holds " + name);
  }
  return path;
}
inline std::string MiniLmFolder() { return ModelPath("all-MiniLM-L6-v2", "/tokenizer.json"); }
inline std::string SmolLm2File() { return ModelPath("SmolLM2-135M-Instruct.Q4_1.gguf", ""); }

inline std::string Folder(const std::string& name) { return ATTND_SOURCE_DIR "/tests/golden/" + name; }

inline std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& folder) {
  auto tokenizer = Tokenizer::Load(folder + "/tokenizer.json");
  if (!tokenizer.ok()) throw std::runtime_error(tokenizer.status().ToString());
  return *std::move(tokenizer);
}

// golden.json beside golden.safetensors.
struct Cases {
  explicit Cases(const std::string& stem) {
    std::ifstream(stem + ".json") >> json;
    auto file = SafetensorsFile::Open(stem + ".safetensors");
    if (!file.ok()) throw std::runtime_error(file.status().ToString());
    tensors = *std::move(file);
  }

  size_t size() const { return json.at("cases").size(); }
  std::string Text(size_t i) const { return json.at("cases").at(i).at("text"); }
  // Null where the case is a single text.
  const nlohmann::json& Pair(size_t i) const { return json.at("cases").at(i).at("pair"); }
  // Empty where the tensor is absent: "3.ids".
  std::vector<int32_t> Ints(size_t i, const std::string& what) const {
    const std::string name = std::to_string(i) + "." + what;
    const TensorInfo* info = tensors->Find(name);
    if (info == nullptr) return {};
    if (info->dtype != DType::kI32) throw std::runtime_error("golden tensor " + name + " is not I32");
    std::vector<int32_t> values(info->elements());
    std::ifstream file(tensors->name(), std::ios::binary);
    file.seekg(static_cast<std::streamoff>(info->offset));
    if (!file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(info->bytes))) {
      throw std::runtime_error("golden tensor " + name + " cannot be read");
    }
    return values;
  }
  // Fails where the tensor is absent: "3.hidden", flattened.
  std::vector<float> Floats(size_t i, const std::string& what) const {
    const std::string name = std::to_string(i) + "." + what;
    const TensorInfo* info = tensors->Find(name);
    if (info == nullptr) throw std::runtime_error("no golden tensor " + name);
    return tensors->ReadF32(name, info->shape).value();
  }

  nlohmann::json json;
  std::unique_ptr<SafetensorsFile> tensors;
};

}  // namespace attnd::golden

#endif  // ATTND_TESTS_GOLDEN_GOLDEN_H_
