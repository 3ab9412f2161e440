#include "core/text/gguf_tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

using Json = nlohmann::json;

constexpr size_t kVocabularyMax = 1 << 22;
constexpr size_t kTokenBytesMax = 1024;  // finding its merges takes the square of that
// Known vocabularies have half a million, of ten bytes. Half a megabyte of tokens can have as many, of half a kilobyte.
constexpr size_t kMergesMax = 1 << 21;
constexpr size_t kMergeBytesMax = size_t{64} << 20;
enum TokenType : int64_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kByte = 6 };

// Regular expressions of pre-tokenizers (tiktoken's cl100k and its kin).
constexpr const char* kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json ByteLevel(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", false}, {"use_regex", use_regex}};
}

Json SplitThenBytes(Json split) {
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({std::move(split), ByteLevel(false)})}};
}

Json RegexSplit(const char* regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

// GGUF's names of pre-tokenizers, by what they do. Null: unknown.
Json PreTokenizerOf(std::string_view pre) {
  const auto is_one_of = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), pre) != names.end();
  };
  if (is_one_of({"gpt-2", "phi-2", "mpt", "olmo", "dolma", "jina-es", "jina-de", "roberta-bpe", "trillion"})) {
    return ByteLevel(true);
  }
  if (is_one_of({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})) {
    Json split = SplitThenBytes({{"type", "Digits"}, {"individual_digits", true}});
    split["pretokenizers"][1] = ByteLevel(true);
    return split;
  }
  if (is_one_of({"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"})) {
    return SplitThenBytes(RegexSplit(kLlama3Words));
  }
  if (is_one_of({"qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan"})) return SplitThenBytes(RegexSplit(kQwen2Words));
  return nullptr;
}

absl::Status Fault(const std::string& text) { return absl::InvalidArgumentError(text); }

absl::Status CheckVocabulary(const GgufVocabulary& v) {
  if (v.tokens.empty() || v.tokens.size() > kVocabularyMax) {
    return Fault(
        absl::StrCat("tokenizer.ggml.tokens has ", v.tokens.size(), " tokens, 1 to ", kVocabularyMax, " are possible"));
  }
  if (!v.types.empty() && v.types.size() != v.tokens.size()) {
    return Fault(
        absl::StrCat("tokenizer.ggml.token_type has ", v.types.size(), " entries for ", v.tokens.size(), " tokens"));
  }
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    if (v.tokens[id].size() > kTokenBytesMax) {
      return Fault(absl::StrCat("tokenizer.ggml.tokens: token ", id, " has ", v.tokens[id].size(),
                                " bytes, the limit is ", kTokenBytesMax));
    }
  }
  const auto size = static_cast<int64_t>(v.tokens.size());
  if (v.bos >= size || v.eos >= size) {
    return Fault(absl::StrCat("tokenizer.ggml: the beginning or end token (", v.bos, ", ", v.eos,
                              ") is outside the vocabulary of ", size));
  }
  return absl::OkStatus();
}

int64_t TypeOf(const GgufVocabulary& v, size_t id) { return v.types.empty() ? int64_t{kNormal} : v.types[id]; }

Json AddedTokens(const GgufVocabulary& v) {
  Json added = Json::array();
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    const int64_t type = TypeOf(v, id);
    if (type != kControl && type != kUserDefined && type != kUnknown) continue;
    added.push_back({{"id", id},
                     {"content", v.tokens[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", type != kUserDefined}});
  }
  return added;
}

// Adds the beginning and end tokens as a template does.
Json PostProcessor(const GgufVocabulary& v) {
  if (v.bos < 0 && v.eos < 0) return nullptr;
  Json single = Json::array(), pair = Json::array(), special = Json::object();
  const auto add = [&](Json& to, int32_t id, int type) {
    if (id < 0) return;
    const std::string& token = v.tokens[id];
    to.push_back({{"SpecialToken", {{"id", token}, {"type_id", type}}}});
    special[token] = {{"id", token}, {"ids", Json::array({id})}, {"tokens", Json::array({token})}};
  };
  const auto sequence = [](const char* name, int type) {
    return Json{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  for (Json* to : {&single, &pair}) {
    add(*to, v.bos, 0);
    to->push_back(sequence("A", 0));
    add(*to, v.eos, 0);
  }
  add(pair, v.bos, 1);
  pair.push_back(sequence("B", 1));
  add(pair, v.eos, 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

using Ids = absl::flat_hash_map<std::string_view, int32_t>;

absl::StatusOr<Ids> IdsOf(const GgufVocabulary& v) {
  Ids ids;
  ids.reserve(v.tokens.size());
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    if (!ids.emplace(v.tokens[id], static_cast<int32_t>(id)).second) {
      return Fault(absl::StrCat("tokenizer.ggml.tokens: token ", id, " is there twice"));
    }
  }
  return ids;
}

// Of JSON and of the tokenizer made of it, each many times the bytes.
absl::Status CheckMerges(size_t merges, size_t bytes) {
  if (merges <= kMergesMax && bytes <= kMergeBytesMax) return absl::OkStatus();
  return Fault(absl::StrCat("tokenizer.ggml has more than ", merges > kMergesMax ? kMergesMax : kMergeBytesMax,
                            merges > kMergesMax ? " merges of tokens" : " bytes in the merges of its tokens"));
}

absl::StatusOr<Json> BytePairMerges(const GgufVocabulary& v, const Ids& ids) {
  Json merges = Json::array();
  size_t bytes = 0;
  for (size_t i = 0; i < v.merges.size(); ++i) {
    const std::string& merge = v.merges[i];
    if (absl::Status status = CheckMerges(v.merges.size(), bytes += merge.size()); !status.ok()) return status;
    // A space inside a token is written as another character, so that the first one after the first byte parts the two.
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 == merge.size()) {
      return Fault(absl::StrCat("tokenizer.ggml.merges: entry ", i, " is not two tokens"));
    }
    std::string left = merge.substr(0, space), right = merge.substr(space + 1);
    if (!ids.contains(left) || !ids.contains(right) || !ids.contains(left + right)) {
      return Fault(absl::StrCat("tokenizer.ggml.merges: entry ", i, " names a token outside the vocabulary"));
    }
    merges.push_back(Json::array({std::move(left), std::move(right)}));
  }
  return merges;
}

// SentencePiece joins the two neighbours whose union has the best score: the same as merges in the order of scores.
absl::StatusOr<Json> ScoredMerges(const GgufVocabulary& v, const Ids& ids) {
  struct Merge {
    double score;
    int32_t left, right;
  };
  std::vector<Merge> merges;
  size_t bytes = 0;
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    if (TypeOf(v, id) != kNormal) continue;
    const std::string_view token = v.tokens[id];
    for (size_t cut = 1; cut < token.size(); ++cut) {
      if ((token[cut] & 0xc0) == 0x80) continue;  // inside a character
      const auto left = ids.find(token.substr(0, cut)), right = ids.find(token.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back({v.scores[id], left->second, right->second});
      if (absl::Status status = CheckMerges(merges.size(), bytes += token.size()); !status.ok()) return status;
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.score > b.score; });
  Json json = Json::array();
  for (const Merge& merge : merges) json.push_back(Json::array({v.tokens[merge.left], v.tokens[merge.right]}));
  return json;
}

Json VocabularyJson(const GgufVocabulary& v) {
  Json vocabulary = Json::object();
  for (size_t id = 0; id < v.tokens.size(); ++id) vocabulary[v.tokens[id]] = id;
  return vocabulary;
}

absl::StatusOr<Json> BytePairTokenizer(const GgufVocabulary& v) {
  Json pre = PreTokenizerOf(v.pre);
  if (pre.is_null()) {
    return Fault(absl::StrCat("tokenizer.ggml.pre \"", v.pre.substr(0, 64),
                              "\" is not known; known are gpt-2, smollm, llama-bpe, qwen2 and those that split alike"));
  }
  absl::StatusOr<Ids> ids = IdsOf(v);
  if (!ids.ok()) return ids.status();
  absl::StatusOr<Json> merges = BytePairMerges(v, *ids);
  if (!merges.ok()) return merges.status();
  const bool whole_words_first = v.pre == "llama-bpe" || v.pre == "llama3" || v.pre == "llama-v3";
  return Json{{"pre_tokenizer", std::move(pre)},
              {"decoder", ByteLevel(true)},
              {"normalizer", nullptr},
              {"model",
               {{"type", "BPE"},
                {"ignore_merges", whole_words_first},
                {"vocab", VocabularyJson(v)},
                {"merges", *std::move(merges)}}}};
}

absl::StatusOr<Json> SentencePieceTokenizer(const GgufVocabulary& v) {
  if (v.scores.size() != v.tokens.size()) {
    return Fault(
        absl::StrCat("tokenizer.ggml.scores has ", v.scores.size(), " entries for ", v.tokens.size(), " tokens"));
  }
  absl::StatusOr<Ids> ids = IdsOf(v);
  if (!ids.ok()) return ids.status();
  Json unknown = nullptr;
  for (size_t id = 0; id < v.tokens.size() && unknown.is_null(); ++id) {
    if (TypeOf(v, id) == kUnknown) unknown = v.tokens[id];
  }
  absl::StatusOr<Json> merges = ScoredMerges(v, *ids);
  if (!merges.ok()) return merges.status();
  Json normalizers = Json::array();
  if (v.add_space_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", "▁"}});
  normalizers.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}});
  Json decoders = Json::array({{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                               {{"type", "ByteFallback"}},
                               {{"type", "Fuse"}}});
  if (v.add_space_prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return Json{{"pre_tokenizer", nullptr},
              {"decoder", {{"type", "Sequence"}, {"decoders", std::move(decoders)}}},
              {"normalizer", {{"type", "Sequence"}, {"normalizers", std::move(normalizers)}}},
              {"model",
               {{"type", "BPE"},
                {"unk_token", std::move(unknown)},
                {"fuse_unk", true},
                {"byte_fallback", true},
                {"vocab", VocabularyJson(v)},
                {"merges", *std::move(merges)}}}};
}

}  // namespace

absl::StatusOr<std::string> GgufTokenizerJson(const GgufVocabulary& v) {
  if (absl::Status status = CheckVocabulary(v); !status.ok()) return status;
  if (v.model != "gpt2" && v.model != "llama") {
    return Fault(
        absl::StrCat("tokenizer.ggml.model \"", v.model.substr(0, 64), "\" is not known; known are gpt2, llama"));
  }
  absl::StatusOr<Json> json = v.model == "gpt2" ? BytePairTokenizer(v) : SentencePieceTokenizer(v);
  if (!json.ok()) return json.status();
  (*json)["version"] = "1.0";
  (*json)["added_tokens"] = AddedTokens(v);
  (*json)["post_processor"] = PostProcessor(v);
  try {
    return json->dump();
  } catch (const Json::exception&) {  // its only one here
    return Fault("tokenizer.ggml.tokens: a token is not valid UTF-8");
  }
}

}  // namespace attnd
