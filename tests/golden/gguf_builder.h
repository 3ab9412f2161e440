// A golden Hugging Face model as a GGUF file, converted as llama.cpp's convert_hf_to_gguf.py does.
#ifndef ATTND_TESTS_GOLDEN_GGUF_BUILDER_H_
#define ATTND_TESTS_GOLDEN_GGUF_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/model/decoder_config.h"
#include "core/weights/safetensors.h"
#include "tests/golden/golden.h"

namespace attnd::golden {

class GgufBuilder {
 public:
  void Add(const std::string& key, uint32_t type, const std::string& value) {
    metadata_ += Text(key) + Raw(type) + value, ++keys_;
  }
  void AddInt(const std::string& key, uint32_t value) { Add(key, 4, Raw(value)); }
  void AddFloat(const std::string& key, float value) { Add(key, 6, Raw(value)); }
  void AddText(const std::string& key, const std::string& value) { Add(key, 8, Text(value)); }
  void AddTensor(const std::string& name, const std::vector<int64_t>& shape, const std::vector<float>& values) {
    infos_ += Text(name) + Raw(static_cast<uint32_t>(shape.size()));
    for (size_t i = shape.size(); i-- > 0;) infos_ += Raw(shape[i]);
    infos_ += Raw(uint32_t{0}) + Raw(static_cast<uint64_t>(data_.size()));
    data_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    data_.resize((data_.size() + 31) / 32 * 32, '\0');
    ++tensors_;
  }
  std::string Build() const {
    std::string file = "GGUF" + Raw(uint32_t{3}) + Raw(tensors_) + Raw(keys_) + metadata_ + infos_;
    file.resize((file.size() + 31) / 32 * 32, '\0');
    return file + data_;
  }

  template <typename T>
  static std::string Raw(T value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  static std::string Text(const std::string& text) { return Raw<uint64_t>(text.size()) + text; }

 private:
  std::string metadata_, infos_, data_;
  uint64_t keys_ = 0, tensors_ = 0;
};

// Rows of a head in pairs (i, i + half) become (2i, 2i + 1): what the converter does to queries and keys of llama.
inline void PermuteHeads(int heads, int64_t inputs, std::vector<float>& weight) {
  const int64_t dim = static_cast<int64_t>(weight.size()) / inputs / heads;
  const std::vector<float> from = weight;
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t i = 0; i < dim; ++i) {
      const int64_t to = i < dim / 2 ? 2 * i : 2 * (i - dim / 2) + 1;
      std::copy_n(from.begin() + (h * dim + i) * inputs, inputs, weight.begin() + (h * dim + to) * inputs);
    }
  }
}

// The GGUF bytes of the golden folder `name`; `more` adds to their metadata.
inline std::string ToGguf(const std::string& name, const std::function<void(GgufBuilder&)>& more = nullptr) {
  const DecoderConfig config = LoadDecoderConfig(Folder(name)).value();
  static const std::map<std::string, std::string> kArchitectures = {{"gemma3_text", "gemma3"}, {"gpt_neox", "gptneox"}};
  const auto found = kArchitectures.find(config.model_type);
  const std::string architecture = found == kArchitectures.end() ? config.model_type : found->second;
  GgufBuilder builder;
  const auto key = [&](const char* what) { return architecture + "." + what; };
  builder.AddText("general.architecture", architecture);
  builder.AddInt(key("block_count"), config.layers);
  builder.AddInt(key("context_length"), config.max_tokens);
  builder.AddInt(key("embedding_length"), config.hidden_size);
  builder.AddInt(key("feed_forward_length"), config.intermediate_size);
  builder.AddInt(key("attention.head_count"), config.heads);
  builder.AddInt(key("attention.head_count_kv"), config.key_heads);
  builder.AddInt(key("attention.key_length"), config.head_dim);
  builder.AddFloat(key(config.rms_norm ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon"),
                   config.norm_epsilon);
  if (!config.learned_positions) {
    builder.AddInt(key("rope.dimension_count"), config.rope.rotary_dim);
    builder.AddFloat(key("rope.freq_base"), static_cast<float>(config.rope.theta));
  }
  const int window = *std::max_element(config.windows.begin(), config.windows.end());
  if (window > 0) builder.AddInt(key("attention.sliding_window"), window);
  if (window > 0 && config.has_local_rope) builder.AddInt(key("attention.sliding_window_pattern"), 2);
  std::string tokens = GgufBuilder::Raw(uint32_t{8}) + GgufBuilder::Raw(static_cast<uint64_t>(config.vocab_size));
  for (int i = 0; i < config.vocab_size; ++i) tokens += GgufBuilder::Text("t" + std::to_string(i));
  builder.Add("tokenizer.ggml.tokens", 9, tokens);
  builder.AddText("tokenizer.ggml.model", "gpt2");
  builder.AddInt("tokenizer.ggml.eos_token_id", 0);
  if (more) more(builder);

  // Longest names first: "input_layernorm" before "norm".
  static const std::vector<std::pair<std::string, std::string>> kNames = {
      {"model.embed_tokens", "token_embd"},
      {"transformer.wte", "token_embd"},
      {"gpt_neox.embed_in", "token_embd"},
      {"transformer.wpe", "position_embd"},
      {"model.norm", "output_norm"},
      {"transformer.ln_f", "output_norm"},
      {"gpt_neox.final_layer_norm", "output_norm"},
      {"lm_head", "output"},
      {"embed_out", "output"},
      {"input_layernorm", "attn_norm"},
      {"ln_1", "attn_norm"},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.qkv_proj", "attn_qkv"},
      {"attn.c_attn", "attn_qkv"},
      {"attention.query_key_value", "attn_qkv"},
      {"attn.c_proj", "attn_output"},
      {"attention.dense", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"mlp.gate_up_proj", "ffn_up"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"},
      {"mlp.c_fc", "ffn_up"},
      {"mlp.c_proj", "ffn_down"},
      {"mlp.dense_h_to_4h", "ffn_up"},
      {"mlp.dense_4h_to_h", "ffn_down"},
      {"ln_2", "ffn_norm"},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"post_attention_layernorm", config.post_norms ? "post_attention_norm" : "ffn_norm"}};
  const auto file = SafetensorsFile::Open(Folder(name) + "/model.safetensors").value();
  for (const auto& [tensor, info] : file->tensors()) {
    std::vector<float> values = file->ReadF32(tensor, info.shape).value();
    std::vector<int64_t> shape = info.shape;
    const std::string suffix = tensor.substr(tensor.rfind('.'));
    std::string stem = tensor.substr(0, tensor.rfind('.')), block;
    for (const char* at : {"model.layers.", "transformer.h.", "gpt_neox.layers."}) {
      if (stem.rfind(at, 0) != 0) continue;
      const size_t begin = std::strlen(at), end = stem.find('.', begin);
      block = "blk." + stem.substr(begin, end - begin) + ".";
      stem = stem.substr(end + 1);
    }
    std::string to;
    for (const auto& [from, gguf] : kNames) {
      // Gemma's and Llama's meanings of post_attention_layernorm differ.
      if (stem == from)
        to = from == "post_attention_layernorm" ? (config.post_norms ? "post_attention_norm" : "ffn_norm") : gguf;
    }
    if (to.empty()) throw std::runtime_error("no GGUF name for " + tensor);
    if (config.transposed && shape.size() == 2 && !block.empty()) {
      const std::vector<float> from = values;
      for (int64_t r = 0; r < shape[0]; ++r) {
        for (int64_t c = 0; c < shape[1]; ++c) values[c * shape[0] + r] = from[r * shape[1] + c];
      }
      std::swap(shape[0], shape[1]);
    }
    if (architecture == "llama" && (to == "attn_q" || to == "attn_k")) {
      PermuteHeads(to == "attn_q" ? config.heads : config.key_heads, shape[1], values);
    }
    if (config.norm_plus_one && to.find("norm") != std::string::npos) {
      for (float& value : values) value += 1;
    }
    if (config.qkv_interleaved && to == "attn_qkv") {
      const std::vector<float> from = values;
      const int64_t inputs = shape.size() == 2 ? shape[1] : 1;
      for (int64_t h = 0; h < config.heads; ++h) {
        for (int64_t part = 0; part < 3; ++part) {
          const int64_t count = config.head_dim * inputs;
          std::copy_n(from.begin() + (h * 3 + part) * count, count, values.begin() + (part * config.heads + h) * count);
        }
      }
    }
    builder.AddTensor(block + to + suffix, shape, values);
  }
  return builder.Build();
}

}  // namespace attnd::golden

#endif  // ATTND_TESTS_GOLDEN_GGUF_BUILDER_H_
