#include "server/rpc/oip_encoder.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/ops/status.h"
#include "server/rpc/oip_parameters.h"
#include "server/rpc/oip_tensors.h"
#include "server/rpc/prompt.h"
#include "server/rpc/task_check.h"

namespace attnd {
namespace {

std::vector<OipInputSpec> Specs(const ModelConfig& config) {
  const std::vector<OipType> integers = {OipType::kInt32, OipType::kInt64};
  std::vector<OipInputSpec> specs = {{"text", {OipType::kBytes}},
                                     {"text_pair", {OipType::kBytes}},
                                     {"input_ids", integers},
                                     {"attention_mask", integers},
                                     {"token_type_ids", integers}};
  if (IsReranker(config)) specs.push_back({"query", {OipType::kBytes}});
  return specs;
}

// The elements of a [n] or [n, 1] tensor.
absl::StatusOr<std::vector<absl::string_view>> Texts(const OipInput& input) {
  if (input.rank() > 2 || (input.rank() == 2 && input.shape()[1] != 1)) return input.ShapeError("[n] or [n, 1]");
  return input.ByteStrings();
}

// The tokens of each row: the leading ones of the mask.
absl::StatusOr<std::vector<int64_t>> Lengths(const OipInput* mask, int64_t rows, int64_t columns) {
  std::vector<int64_t> lengths(static_cast<size_t>(rows), columns);
  if (mask == nullptr) return lengths;
  const auto values = mask->Ints();
  if (!values.ok()) return values.status();
  for (int64_t i = 0; i < rows; ++i) {
    const int32_t* row = values->data() + i * columns;
    const int64_t length = std::find(row, row + columns, 0) - row;
    for (int64_t j = 0; j < columns; ++j) {
      if (row[j] == (j < length ? 1 : 0)) continue;
      return FieldError(mask->field(), absl::StrCat("attention_mask[", i,
                                                    "]: only padding at the end is possible, ones "
                                                    "and then zeros; element ",
                                                    j, " is ", row[j]));
    }
    if (length == 0)
      return FieldError(mask->field(), absl::StrCat("attention_mask[", i, "]: at least 1 token is needed"));
    lengths[static_cast<size_t>(i)] = length;
  }
  return lengths;
}

// The rows of a [n, len] tensor, each cut to its length.
absl::StatusOr<std::vector<std::vector<int32_t>>> Rows(const OipInput& input, const std::vector<int64_t>& lengths) {
  const auto values = input.Ints();
  if (!values.ok()) return values.status();
  std::vector<std::vector<int32_t>> rows(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int32_t* row = values->data() + static_cast<int64_t>(i) * input.shape()[1];
    rows[i].assign(row, row + lengths[i]);
  }
  return rows;
}

absl::Status ReadIds(const OipInputs& inputs, const OipInput& ids, OipEncoderRequest& request) {
  if (ids.rank() != 2) return ids.ShapeError("[n, len]");
  for (const absl::string_view name : {"attention_mask", "token_type_ids"}) {
    const OipInput* other = inputs.Find(name);
    if (other != nullptr && other->shape() != ids.shape()) return other->ShapeError("that of input_ids");
  }
  const auto lengths = Lengths(inputs.Find("attention_mask"), ids.shape()[0], ids.shape()[1]);
  if (!lengths.ok()) return lengths.status();
  auto rows = Rows(ids, *lengths);
  if (!rows.ok()) return rows.status();
  request.ids = *std::move(rows);
  if (const OipInput* types = inputs.Find("token_type_ids"); types != nullptr) {
    auto type_rows = Rows(*types, *lengths);
    if (!type_rows.ok()) return type_rows.status();
    request.type_ids = *std::move(type_rows);
  }
  return absl::OkStatus();
}

absl::Status ReadTexts(const OipInputs& inputs, const OipInput& text, OipEncoderRequest& request) {
  auto texts = Texts(text);
  if (!texts.ok()) return texts.status();
  request.texts = *std::move(texts);
  for (const absl::string_view name : {"input_ids", "attention_mask", "token_type_ids"}) {
    if (inputs.Find(name) == nullptr) continue;
    return FieldError("inputs", absl::StrCat("text goes without ", name, ": the model's tokenizer makes it"));
  }
  const OipInput* pair = inputs.Find("text_pair");
  const OipInput* query = inputs.Find("query");
  if (pair != nullptr && query != nullptr) return FieldError("inputs", "query and text_pair exclude each other");
  if (pair != nullptr) {
    auto pairs = Texts(*pair);
    if (!pairs.ok()) return pairs.status();
    if (pairs->size() != request.texts.size()) return pair->ShapeError("that of text");
    request.text_pairs = *std::move(pairs);
  }
  if (query != nullptr) {
    const auto queries = Texts(*query);
    if (!queries.ok()) return queries.status();
    if (queries->size() != 1) return query->ShapeError("[1]");
    request.query = (*queries)[0];
  }
  return absl::OkStatus();
}

absl::Status ReadInputs(const inference::ModelInferRequest& message, const ModelConfig& config,
                        OipEncoderRequest& request) {
  const std::vector<OipInputSpec> specs = Specs(config);
  const auto inputs = OipInputs::Read(message, specs);
  if (!inputs.ok()) return inputs.status();
  const OipInput* text = inputs->Find("text");
  const OipInput* ids = inputs->Find("input_ids");
  if (text == nullptr && ids == nullptr) return FieldError("inputs", "text or input_ids is needed");
  if (text != nullptr) return ReadTexts(*inputs, *text, request);
  for (const absl::string_view name : {"text_pair", "query"}) {
    if (inputs->Find(name) != nullptr) return FieldError("inputs", absl::StrCat(name, " goes with text"));
  }
  return ReadIds(*inputs, *ids, request);
}

absl::StatusOr<Truncate> ReadTruncate(const OipParameters& parameters, bool is_text) {
  const auto text = parameters.Text("truncate");
  if (!text.ok()) return text.status();
  if (!text->has_value() || **text == "refuse") return Truncate::kRefuse;
  if (!is_text) return FieldError("parameters.truncate", "it goes with text: input_ids are never cut");
  if (**text == "end") return Truncate::kEnd;
  if (**text == "start") return Truncate::kStart;
  return FieldError("parameters.truncate", R"(it must be "refuse", "end" or "start")");
}

// Texts to embed may have one; pairs and ids have none.
absl::Status ReadPrompt(const OipParameters& parameters, const ModelConfig& config, OipEncoderRequest& request) {
  const auto name = parameters.Text("prompt_name");
  if (!name.ok()) return name.status();
  const auto prompt = parameters.Text("prompt");
  if (!prompt.ok()) return prompt.status();
  if (request.texts.empty() || !request.text_pairs.empty() || request.query.has_value()) {
    if (!name->has_value() && !prompt->has_value()) return absl::OkStatus();
    return FieldError(name->has_value() ? "parameters.prompt_name" : "parameters.prompt", "it goes with text alone");
  }
  auto found = FindPrompt(config, *name, *prompt, "parameters.");
  if (found.ok()) request.prompt = *std::move(found);
  return found.status();
}

}  // namespace

absl::StatusOr<OipEncoderRequest> OipEncoderRequest::Read(const inference::ModelInferRequest& message,
                                                          const ModelConfig& config) {
  OipEncoderRequest request{.selection = HeadSelection::All(config.layers, config.heads)};
  const OipParameters parameters(message);
  if (absl::Status status =
          parameters.RefuseOthers({"layers", "heads", "truncate", "normalize", "raw_scores", "prompt_name", "prompt"});
      !status.ok()) {
    return status;
  }
  auto outputs = ReadOipOutputs(message, OipEncoderOutputs(config), DefaultOipOutput(config));
  if (!outputs.ok()) return outputs.status();
  request.outputs = *std::move(outputs);
  request.outputs.resize(kOipEncoderOutputs.size());
  if (absl::Status status = ReadInputs(message, config, request); !status.ok()) return status;
  const auto truncate = ReadTruncate(parameters, !request.texts.empty());
  if (!truncate.ok()) return truncate.status();
  request.truncate = *truncate;
  const auto normalize = parameters.Bool("normalize");
  if (!normalize.ok()) return normalize.status();
  request.normalize = *normalize;
  const auto raw_scores = parameters.Bool("raw_scores");
  if (!raw_scores.ok()) return raw_scores.status();
  request.raw_scores = raw_scores->value_or(false);
  if (absl::Status status = ReadPrompt(parameters, config, request); !status.ok()) return status;
  auto selection = ReadOipSelection(parameters, config.layers, config.heads);
  if (!selection.ok()) return selection.status();
  request.selection = *std::move(selection);
  return request;
}

}  // namespace attnd
