#include "client/trace/trace.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/format.h"
#include "client/generation.h"
#include "client/prompt_pieces.h"
#include "client/trace/page_files.h"
#include "nlohmann/json.hpp"

namespace attnd {
namespace {

constexpr v1::AttentionDType kDtype = v1::ATTENTION_DTYPE_F16;

uint64_t Base64Bytes(uint64_t bytes) { return (bytes + 2) / 3 * 4; }

// `floats` as they lie in memory, which is little-endian on every machine that attnd runs on.
std::string Base64(const std::vector<float>& floats) {
  return absl::Base64Escape(
      absl::string_view(reinterpret_cast<const char*>(floats.data()), floats.size() * sizeof(float)));
}

// JSON inside a script element: no "<" may end that.
std::string ScriptJson(const nlohmann::json& json) {
  return absl::StrReplaceAll(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), {{"<", "\\u003c"}});
}

}  // namespace

v1::GenerationAttention TraceAttention(const std::string& select) {
  v1::GenerationAttention attention;
  attention.set_select(select);
  attention.set_content(v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS);
  attention.set_dtype(kDtype);
  return attention;
}

uint64_t TraceBytes(uint64_t prompt, uint64_t tokens, uint64_t heads) {
  const uint64_t columns = tokens * prompt + tokens * (tokens - std::min<uint64_t>(tokens, 1)) / 2;
  return Base64Bytes(heads * columns) + Base64Bytes(tokens * heads * 4) + Base64Bytes(tokens * heads * 16);
}

absl::Status Trace::Take(const v1::GenerateResponse& event) {
  if (event.has_start()) return TakeStart(event.start());
  return event.has_delta() ? TakeToken(event.delta()) : absl::OkStatus();
}

absl::Status Trace::TakeStart(const v1::GenerationStart& start) {
  model_ = start.model();
  const std::vector<std::string> pieces = PromptPieces(start.prompt(), text_);
  for (size_t i = 0; i < pieces.size(); ++i) {
    const v1::Token& token = start.prompt(static_cast<int>(i));
    prompt_.push_back({token.id(), pieces[i], token.special()});
  }
  for (int h = 0; h < std::min(start.attention_layers_size(), start.attention_heads_size()); ++h) {
    heads_.emplace_back(start.attention_layers(h), start.attention_heads(h));
  }
  const uint64_t bytes = TraceBytes(prompt_.size(), max_tokens_, heads_.size());
  if (bytes <= max_bytes_) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(Count(prompt_.size(), "token"), " and ", Thousands(max_tokens_), " more, with ",
                   Count(heads_.size(), "head"), ", could make a page of ", Bytes(bytes), ", --max-bytes allows ",
                   Bytes(max_bytes_), ": name fewer --heads, fewer --max-tokens, or more --max-bytes"));
}

absl::Status Trace::TakeToken(const v1::GenerationDelta& delta) {
  const v1::TokenAttention& attention = delta.attention();
  const auto rows = DenseRows(attention, kDtype, static_cast<int>(heads_.size()));
  if (!rows.ok()) return rows.status();
  const size_t columns = prompt_.size() + answer_.size();
  if (attention.columns() != columns) {
    return absl::DataLossError(
        absl::StrCat("the server sent weights on ", attention.columns(), " tokens of ", columns));
  }
  for (size_t h = 0; h < heads_.size(); ++h) {
    const float *begin = rows->data() + h * columns, *end = begin + columns;
    const float scale = *std::max_element(begin, end);
    scales_.push_back(scale);
    for (const float* weight = begin; weight != end; ++weight) {
      const float level = scale > 0 ? std::sqrt(std::max(0.0F, *weight) / scale) : 0;
      weights_.push_back(static_cast<char>(std::lround(255 * std::min(1.0F, level))));
    }
  }
  const google::protobuf::RepeatedField<float>* const lists[] = {&attention.entropy(), &attention.sink_mass(),
                                                                 &attention.lookback_ratio(), &attention.copy_mass()};
  for (size_t kind = 0; kind < std::size(lists); ++kind) {
    for (size_t h = 0; h < heads_.size(); ++h) {
      const bool there = h < static_cast<size_t>(lists[kind]->size());
      statistics_[kind].push_back(there ? lists[kind]->Get(static_cast<int>(h)) : 0);
    }
  }
  answer_.push_back({delta.id(), delta.text(), false});
  return absl::OkStatus();
}

std::string Trace::Page() const {
  const auto list = [](const std::vector<Piece>& pieces) {
    nlohmann::json tokens = nlohmann::json::array();
    for (const Piece& piece : pieces) {
      tokens.push_back({{"id", piece.id}, {"text", piece.text}});
      if (piece.special) tokens.back()["special"] = true;
    }
    return tokens;
  };
  const nlohmann::json meta = {
      {"model", model_}, {"prompt", list(prompt_)}, {"answer", list(answer_)}, {"heads", heads_}};
  std::vector<float> statistics;
  for (const std::vector<float>& kind : statistics_) statistics.insert(statistics.end(), kind.begin(), kind.end());
  return absl::StrReplaceAll(kTraceHtml, {{"{{style}}", kTraceStyle},
                                          {"{{script}}", kTraceScript},
                                          {"{{meta}}", ScriptJson(meta)},
                                          {"{{weights}}", absl::Base64Escape(weights_)},
                                          {"{{scales}}", Base64(scales_)},
                                          {"{{statistics}}", Base64(statistics)}});
}

}  // namespace attnd
