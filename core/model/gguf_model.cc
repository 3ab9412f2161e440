#include "core/model/gguf_model.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/model/config_parts.h"
#include "core/model/json_file.h"
#include "core/text/gguf_tokenizer.h"

namespace attnd {
namespace {

constexpr int64_t kSizeMax = 1 << 20;

// As GGUF numbers them.
enum class GgufPooling { kNone, kMean, kCls, kLast, kRank };

// GGUF's names of architectures, and ours of their families.
constexpr std::pair<const char*, const char*> kArchitectures[] = {
    {"llama", "llama"}, {"gpt2", "gpt2"},          {"qwen2", "qwen2"},      {"qwen3", "qwen3"},
    {"phi3", "phi3"},   {"gemma3", "gemma3_text"}, {"gptneox", "gpt_neox"},
};

absl::Status SetFamily(const GgufMetadata& metadata, const std::string& architecture, DecoderConfig& c) {
  std::string known;
  for (const auto& [name, family] : kArchitectures) {
    if (architecture == name) return PresetDecoderFamily(family, c);
    absl::StrAppend(&known, known.empty() ? "" : ", ", name);
  }
  return absl::UnimplementedError(absl::StrCat(metadata.source(), ": general.architecture ", QuotedName(architecture),
                                               " is not known; known are: ", known));
}

absl::Status ReadScaling(const GgufMetadata& metadata, const std::string& at, DecoderConfig& c) {
  std::string type;
  RopeScaling& scaling = c.rope.scaling;
  absl::Status status = Store(metadata.String(at + "rope.scaling.type", "none"), type);
  status.Update(Store(metadata.Number(at + "rope.scaling.factor", 0, 1e6, 1), scaling.factor));
  status.Update(Store(metadata.Int(at + "rope.scaling.original_context_length", 1, 1 << 24, c.max_tokens),
                      scaling.original_positions));
  status.Update(Store(metadata.Number(at + "rope.scaling.attn_factor", 0, 1e6, 0), scaling.attention_factor));
  if (!status.ok() || type == "none" || type.empty() || scaling.factor <= 1) return status;
  if (type == "linear") {
    scaling.kind = RopeScalingKind::kLinear;
  } else if (type == "yarn") {
    scaling.kind = RopeScalingKind::kYarn;
  } else if (type != "longrope") {  // its factors are tensors: LoadGgufConfig. Phi-3's files have them without a type
    return metadata.Fault(at + "rope.scaling.type", "is none of none, linear, yarn, longrope");
  }
  return absl::OkStatus();
}

absl::Status ReadSizes(const GgufMetadata& metadata, const std::string& at, DecoderConfig& c) {
  absl::Status status;
  for (const char* key :
       {"block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count"}) {
    status.Update(metadata.Require(at + key));
  }
  status.Update(Store(metadata.Int(at + "block_count", 1, 1024, 0), c.layers));
  status.Update(Store(metadata.Int(at + "context_length", 1, 1 << 24, 0), c.max_tokens));
  status.Update(Store(metadata.Int(at + "embedding_length", 1, 1 << 16, 0), c.hidden_size));
  status.Update(Store(metadata.Int(at + "feed_forward_length", 1, kSizeMax, 0), c.intermediate_size));
  status.Update(Store(metadata.Int(at + "attention.head_count", 1, 1 << 16, 0), c.heads));
  if (!status.ok()) return status;
  status.Update(Store(metadata.Int(at + "attention.head_count_kv", 1, 1 << 16, c.heads), c.key_heads));
  status.Update(Store(metadata.Int(at + "attention.key_length", 1, 1 << 16, c.hidden_size / c.heads), c.head_dim));
  const char* epsilon = c.rms_norm ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
  status.Update(Store(metadata.Number(at + epsilon, 1e-20, 1, 1e-5), c.norm_epsilon));
  status.Update(Store(metadata.Bool(at + "use_parallel_residual", c.parallel_residual), c.parallel_residual));
  return status;
}

absl::Status ReadWindows(const GgufMetadata& metadata, const std::string& at, DecoderConfig& c) {
  int window = 0, pattern = 0;
  const std::string key = at + "attention.sliding_window_pattern";
  absl::Status status = Store(metadata.Int(at + "attention.sliding_window", 0, 1 << 24, 0), window);
  c.windows.assign(c.layers, 0);
  if (!status.ok() || window == 0) return status;
  // A list says it of each layer; a number, that every so many a layer sees all. Files of Gemma 3 need not say: it
  // is 6.
  const auto local = metadata.Ints(key);
  if (local.ok() && *local != nullptr) {
    if ((*local)->size() != static_cast<size_t>(c.layers)) return metadata.Fault(key, "has not one entry a layer");
    for (int l = 0; l < c.layers; ++l) c.windows[l] = (**local)[l] != 0 ? window : 0;
    return absl::OkStatus();
  }
  status.Update(Store(metadata.Int(key, 0, 1024, c.has_local_rope ? 6 : 0), pattern));
  for (int l = 0; l < c.layers; ++l) {
    if (pattern == 0 || (l + 1) % pattern != 0) c.windows[l] = window;
  }
  return status;
}

}  // namespace

absl::StatusOr<DecoderConfig> GgufDecoderConfig(const GgufMetadata& metadata) {
  DecoderConfig c;
  std::string architecture;
  absl::Status status = metadata.Require("general.architecture");
  status.Update(Store(metadata.String("general.architecture", ""), architecture));
  if (status.ok()) status = SetFamily(metadata, architecture, c);
  if (!status.ok()) return status;
  const std::string at = architecture + ".";
  c.tied = c.transposed = c.qkv_interleaved = c.norm_plus_one = false;  // the converter did away with these
  if (status = ReadSizes(metadata, at, c); !status.ok()) return status;
  bool causal = true;
  status.Update(Store(metadata.Bool(at + "attention.causal", true), causal));
  if (!causal) {
    return absl::UnimplementedError(
        absl::StrCat(metadata.source(), ": ", QuotedName(at + "attention.causal"), " false is not supported"));
  }
  status.Update(ReadWindows(metadata, at, c));
  auto tokens = metadata.Strings("tokenizer.ggml.tokens");
  if (!tokens.ok()) return tokens.status();
  if (*tokens == nullptr) return metadata.Fault("tokenizer.ggml.tokens", "is missing");
  c.vocab_size = static_cast<int>((*tokens)->size());
  status.Update(Store(metadata.Int(at + "rope.dimension_count", 1, 1 << 16, c.head_dim), c.rope.rotary_dim));
  status.Update(Store(metadata.Number(at + "rope.freq_base", 1, 1e12, 10000), c.rope.theta));
  status.Update(ReadScaling(metadata, at, c));
  if (architecture == "llama") c.rope_layout = RopeLayout::kInterleaved;  // its converter permutes queries and keys
  if (c.has_local_rope) {
    c.local_rope = {.rotary_dim = c.rope.rotary_dim};
    status.Update(Store(metadata.Number(at + "rope.freq_base_swa", 1, 1e12, 10000), c.local_rope.theta));
    c.embedding_scale = std::sqrt(static_cast<float>(c.hidden_size));
    // No key says query_pre_attn_scalar, and of 27B it is not head_dim: llama.cpp knows that model by its layers, too.
    constexpr int kLayersOf27B = 62;
    if (c.layers == kLayersOf27B) {
      c.attention_scale = 1.0f / std::sqrt(static_cast<float>(c.hidden_size / c.heads));
    }
  }
  for (const char* key : {"eos", "eot", "eom"}) {
    int32_t id = -1;
    status.Update(Store(metadata.Int(absl::StrCat("tokenizer.ggml.", key, "_token_id"), 0, kVocabularyMax, -1), id));
    if (id >= 0) c.eos_ids.push_back(id);
  }
  status.Update(FinishDecoderConfig(metadata.source(), c));
  if (!status.ok()) return status;
  return c;
}

absl::StatusOr<DecoderConfig> LoadGgufConfig(const GgufFile& file) {
  absl::StatusOr<DecoderConfig> config = GgufDecoderConfig(file.metadata());
  if (!config.ok()) return config;
  for (const char* name : {"rope_freqs.weight", "rope_factors_short.weight"}) {
    if (!file.Contains(name)) continue;
    auto factors = file.ReadF32(name, {config->rope.rotary_dim / 2});
    if (!factors.ok()) return factors.status();
    for (const float factor : *factors) {
      if (!(factor > 0)) {
        return absl::InvalidArgumentError(
            absl::StrCat(file.name(), ": tensor '", name, "' holds a factor that is not above 0"));
      }
      config->rope.scaling.factors.push_back(factor);
    }
    config->rope.scaling.kind = RopeScalingKind::kFactors;
    break;
  }
  // As of a folder: the short factors are those of the context before.
  if (file.Contains("rope_factors_long.weight")) {
    config->max_tokens = std::min(config->max_tokens, static_cast<int>(config->rope.scaling.original_positions));
  }
  return config;
}

absl::StatusOr<EmbeddingConfig> LoadGgufEmbedding(const GgufFile& file, const DecoderConfig& decoder) {
  EmbeddingConfig config = DefaultDecoderEmbedding(decoder.hidden_size, decoder.max_tokens);
  const GgufMetadata& metadata = file.metadata();
  std::string architecture;
  auto pooling = GgufPooling::kNone;
  absl::Status status = Store(metadata.String("general.architecture", ""), architecture);
  const std::string key = architecture + ".pooling_type";
  status.Update(Store(metadata.Int(key, 0, 4, 0), pooling));
  if (!status.ok()) return status;
  if (pooling == GgufPooling::kCls || pooling == GgufPooling::kRank) {
    return metadata.Fault(key, absl::StrCat("is ", pooling == GgufPooling::kCls ? "2 (cls)" : "4 (rank)",
                                            ", must be 0 (none), 1 (mean) or 3 (last) of a decoder"));
  }
  if (pooling == GgufPooling::kMean) config.pooling = {.mode = PoolingMode::kMean};
  return config;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> LoadGgufTokenizer(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata();
  GgufVocabulary v;
  absl::Status status = metadata.Require("tokenizer.ggml.model");
  status.Update(Store(metadata.String("tokenizer.ggml.model", ""), v.model));
  status.Update(Store(metadata.String("tokenizer.ggml.pre", ""), v.pre));
  std::string architecture;
  status.Update(Store(metadata.String("general.architecture", ""), architecture));
  if (v.pre.empty() && architecture == "gpt2") v.pre = "gpt-2";  // files older than the key
  auto tokens = metadata.Strings("tokenizer.ggml.tokens");
  auto types = metadata.Ints("tokenizer.ggml.token_type");
  auto merges = metadata.Strings("tokenizer.ggml.merges");
  auto scores = metadata.Numbers("tokenizer.ggml.scores");
  for (const absl::Status& one : {tokens.status(), types.status(), merges.status(), scores.status()})
    status.Update(one);
  if (!status.ok()) return status;
  if (*tokens != nullptr) v.tokens = **tokens;
  if (*types != nullptr) v.types = **types;
  if (*merges != nullptr) v.merges = **merges;
  if (*scores != nullptr) v.scores = **scores;
  bool add_bos = false, add_eos = false;
  int32_t bos = -1, eos = -1;
  const bool adds = v.model == "llama" || v.pre == "llama-bpe";
  status.Update(Store(metadata.Bool("tokenizer.ggml.add_space_prefix", true), v.add_space_prefix));
  status.Update(Store(metadata.Bool("tokenizer.ggml.add_bos_token", adds), add_bos));
  status.Update(Store(metadata.Bool("tokenizer.ggml.add_eos_token", false), add_eos));
  status.Update(Store(metadata.Int("tokenizer.ggml.bos_token_id", 0, kVocabularyMax, -1), bos));
  status.Update(Store(metadata.Int("tokenizer.ggml.eos_token_id", 0, kVocabularyMax, -1), eos));
  if (!status.ok()) return status;
  if (add_bos) v.bos = bos;
  if (add_eos) v.eos = eos;
  absl::StatusOr<std::string> json = GgufTokenizerJson(v);
  if (!json.ok()) return absl::InvalidArgumentError(absl::StrCat(file.name(), ": ", json.status().message()));
  return Tokenizer::Parse(*json, file.name());
}

absl::StatusOr<std::unique_ptr<ChatTemplate>> LoadGgufChatTemplate(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata();
  std::string source;
  int64_t bos = -1, eos = -1;
  absl::Status status = Store(metadata.String("tokenizer.chat_template", ""), source);
  status.Update(Store(metadata.Int("tokenizer.ggml.bos_token_id", 0, kVocabularyMax, -1), bos));
  status.Update(Store(metadata.Int("tokenizer.ggml.eos_token_id", 0, kVocabularyMax, -1), eos));
  auto tokens = metadata.Strings("tokenizer.ggml.tokens");
  status.Update(tokens.status());
  if (!status.ok()) return status;
  if (source.empty()) return nullptr;
  const auto text = [&](int64_t id) {
    const bool there = *tokens != nullptr && id >= 0 && id < static_cast<int64_t>((*tokens)->size());
    return there ? (**tokens)[id] : std::string();
  };
  auto parsed = ChatTemplate::Parse(source, text(bos), text(eos));
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat(file.name(), ": ", parsed.status().message()));
  return parsed;
}

}  // namespace attnd
