// Encoder models in the Open Inference Protocol: what their requests may hold.
#ifndef ATTND_SERVER_RPC_OIP_ENCODER_H_
#define ATTND_SERVER_RPC_OIP_ENCODER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "core/attention/selection.h"
#include "core/model/config.h"
#include "core/text/tokenizer.h"
#include "inference/grpc_service.pb.h"

namespace attnd {

// In the order of ReadOipOutputs.
enum OipEncoderOutput {
  kOutEmbedding,
  kOutLastHidden,
  kOutAttention,
  kOutEntropy,
  kOutTokenIds,
  kOutTokenCount,
  kOutTokens,
  kOutTokenSpans,
  kOutScores  // of models with a head
};
inline constexpr std::array<absl::string_view, 9> kOipEncoderOutputs = {
    "embedding", "last_hidden_state", "attention", "attention_entropy", "token_ids", "token_count",
    "tokens",    "token_spans",       "scores"};
// What a model gives: all, or all but the scores.
inline absl::Span<const absl::string_view> OipEncoderOutputs(const ModelConfig& config) {
  return absl::MakeConstSpan(kOipEncoderOutputs)
      .first(config.logit_columns() > 0 ? kOipEncoderOutputs.size() : size_t{kOutScores});
}
// Without a list: a classifier's scores; else the embedding, also of a model that fills masks.
inline OipEncoderOutput DefaultOipOutput(const ModelConfig& config) {
  return config.task == Task::kClassify || config.task == Task::kTokenClassify ? kOutScores : kOutEmbedding;
}

// A request to an encoder, checked but for the texts themselves.
struct OipEncoderRequest {
  std::vector<absl::string_view> texts;        // [n]; empty: sequences come as ids. Views into the request
  std::vector<absl::string_view> text_pairs;   // [n], the second texts of pairs, or empty
  std::optional<absl::string_view> query;      // of a reranker: the first text of every pair, `texts` are the second
  std::vector<std::vector<int32_t>> ids;       // [n][tokens], padding cut off; empty: texts
  std::vector<std::vector<int32_t>> type_ids;  // [n][tokens], or empty: all 0
  std::vector<bool> outputs;                   // by OipEncoderOutput
  HeadSelection selection;                     // of the attention outputs: every head chosen of every layer chosen
  Truncate truncate = Truncate::kRefuse;
  std::optional<bool> normalize;
  bool raw_scores = false;
  std::string prompt;  // before each text

  bool Wants(OipEncoderOutput output) const { return outputs[output]; }
  bool RunsModel() const {
    return Wants(kOutEmbedding) || Wants(kOutLastHidden) || Wants(kOutAttention) || Wants(kOutEntropy) ||
           Wants(kOutScores);
  }

  // kInvalidArgument names the tensor or parameter and the limit.
  static absl::StatusOr<OipEncoderRequest> Read(const inference::ModelInferRequest& request, const ModelConfig& config);
};

}  // namespace attnd

#endif  // ATTND_SERVER_RPC_OIP_ENCODER_H_
