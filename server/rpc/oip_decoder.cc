#include "server/rpc/oip_decoder.h"

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "server/ops/status.h"
#include "server/rpc/oip_parameters.h"
#include "server/rpc/oip_tensors.h"

namespace attnd {
namespace {

std::string FieldOf(absl::string_view name) { return absl::StrCat("parameters.", name); }

// Each reads one parameter, where it is there, into a field of the options.
using Fields = v1::GenerationOptions;

absl::Status ReadCount(const OipParameters& parameters, absl::string_view name, Fields& options,
                       void (Fields::*set)(uint32_t)) {
  const auto value = parameters.Integer(name);
  if (!value.ok()) return value.status();
  if (!value->has_value()) return absl::OkStatus();
  constexpr int64_t kMax = std::numeric_limits<uint32_t>::max();
  if (**value < 0 || **value > kMax) return FieldError(FieldOf(name), absl::StrCat(**value, ", must be 0 to ", kMax));
  (options.*set)(static_cast<uint32_t>(**value));
  return absl::OkStatus();
}

absl::Status ReadNumber(const OipParameters& parameters, absl::string_view name, Fields& options,
                        void (Fields::*set)(float)) {
  const auto value = parameters.Number(name);
  if (!value.ok()) return value.status();
  if (value->has_value()) (options.*set)(static_cast<float>(**value));
  return absl::OkStatus();
}

// A list of `text` where it is JSON of one, else nothing.
std::optional<google::protobuf::ListValue> ListOf(const std::string& text) {
  google::protobuf::ListValue list;
  if (!absl::StartsWith(text, "[") || !google::protobuf::util::JsonStringToMessage(text, &list).ok()) return {};
  return list;
}

// A string, or a JSON list of strings.
absl::Status ReadStop(const OipParameters& parameters, Fields& options) {
  const auto text = parameters.Text("stop");
  if (!text.ok() || !text->has_value()) return text.status();
  const auto list = ListOf(**text);
  if (!list.has_value()) {
    options.add_stop(**text);
    return absl::OkStatus();
  }
  for (const google::protobuf::Value& value : list->values()) {
    if (!value.has_string_value()) return FieldError(FieldOf("stop"), "a JSON list of it must be of strings");
    options.add_stop(value.string_value());
  }
  return absl::OkStatus();
}

// An integer, or a JSON list of integers.
absl::Status ReadStopIds(const OipParameters& parameters, Fields& options) {
  const auto text = parameters.Text("stop_ids");
  if (!text.ok() || !text->has_value()) return text.status();
  const auto list = ListOf(absl::StartsWith(**text, "[") ? **text : absl::StrCat("[", **text, "]"));
  const absl::Status fault = FieldError(FieldOf("stop_ids"), "it must be an integer or a JSON list of integers");
  if (!list.has_value()) return fault;
  for (const google::protobuf::Value& value : list->values()) {
    const double number = value.number_value();
    if (!value.has_number_value() || std::abs(number) >= 2147483648.0 || number != std::trunc(number)) return fault;
    options.add_stop_ids(static_cast<int32_t>(number));
  }
  return absl::OkStatus();
}

absl::Status ReadGrammar(const OipParameters& parameters, Fields& options) {
  const auto schema = parameters.Text("json_schema");
  if (!schema.ok()) return schema.status();
  const auto regex = parameters.Text("regex");
  if (!regex.ok()) return regex.status();
  if (schema->has_value() && regex->has_value()) {
    return FieldError(FieldOf("regex"), "it and json_schema exclude each other");
  }
  if (schema->has_value()) options.set_json_schema(**schema);
  if (regex->has_value()) options.set_regex(**regex);
  return absl::OkStatus();
}

absl::Status ReadOptions(const OipParameters& parameters, Fields& options) {
  absl::Status status = ReadCount(parameters, "max_tokens", options, &Fields::set_max_tokens);
  status.Update(ReadCount(parameters, "min_tokens", options, &Fields::set_min_tokens));
  status.Update(ReadNumber(parameters, "repetition_penalty", options, &Fields::set_repetition_penalty));
  status.Update(ReadNumber(parameters, "presence_penalty", options, &Fields::set_presence_penalty));
  status.Update(ReadNumber(parameters, "frequency_penalty", options, &Fields::set_frequency_penalty));
  status.Update(ReadNumber(parameters, "temperature", options, &Fields::set_temperature));
  status.Update(ReadCount(parameters, "top_k", options, &Fields::set_top_k));
  status.Update(ReadNumber(parameters, "top_p", options, &Fields::set_top_p));
  status.Update(ReadNumber(parameters, "min_p", options, &Fields::set_min_p));
  status.Update(ReadNumber(parameters, "typical_p", options, &Fields::set_typical_p));
  status.Update(ReadCount(parameters, "n", options, &Fields::set_n));
  status.Update(ReadStop(parameters, options));
  status.Update(ReadStopIds(parameters, options));
  status.Update(ReadGrammar(parameters, options));
  if (!status.ok()) return status;
  if (options.n() > 1) {
    return FieldError(FieldOf("n"), absl::StrCat(options.n(), ", must be 1: a request has one answer"));
  }
  const auto seed = parameters.Integer("seed");
  if (!seed.ok()) return seed.status();
  if (seed->has_value() && **seed < 0) return FieldError(FieldOf("seed"), absl::StrCat(**seed, ", must be 0 or more"));
  if (seed->has_value()) options.set_seed(static_cast<uint64_t>(**seed));
  const auto ignore_eos = parameters.Bool("ignore_eos");
  if (!ignore_eos.ok()) return ignore_eos.status();
  options.set_ignore_eos(ignore_eos->value_or(false));
  return absl::OkStatus();
}

absl::Status ReadPrompt(const inference::ModelInferRequest& message, OipDecoderRequest& request) {
  static const std::vector<OipInputSpec> specs = {{"text", {OipType::kBytes}},
                                                  {"input_ids", {OipType::kInt32, OipType::kInt64}}};
  const auto inputs = OipInputs::Read(message, specs);
  if (!inputs.ok()) return inputs.status();
  const OipInput* text = inputs->Find("text");
  const OipInput* ids = inputs->Find("input_ids");
  if ((text == nullptr) == (ids == nullptr)) return FieldError("inputs", "text or input_ids is needed, and not both");
  if (text != nullptr) {
    if (text->elements() != 1 || text->rank() > 2) return text->ShapeError("[1] or [1, 1]");
    const auto texts = text->ByteStrings();
    if (texts.ok()) request.text = (*texts)[0];
    return texts.status();
  }
  if (ids->rank() > 2 || (ids->rank() == 2 && ids->shape()[0] != 1)) return ids->ShapeError("[1, len]");
  auto values = ids->Ints();
  if (values.ok()) request.ids = *std::move(values);
  return values.status();
}

}  // namespace

absl::StatusOr<OipDecoderRequest> OipDecoderRequest::Read(const inference::ModelInferRequest& message,
                                                          const ModelShape& shape, bool stream) {
  OipDecoderRequest request{.selection = HeadSelection::All(shape.layers, shape.heads)};
  const OipParameters parameters(message);
  absl::Status status = parameters.RefuseOthers({"max_tokens",
                                                 "min_tokens",
                                                 "repetition_penalty",
                                                 "presence_penalty",
                                                 "frequency_penalty",
                                                 "temperature",
                                                 "top_k",
                                                 "top_p",
                                                 "min_p",
                                                 "typical_p",
                                                 "seed",
                                                 "stop",
                                                 "stop_ids",
                                                 "ignore_eos",
                                                 "n",
                                                 "json_schema",
                                                 "regex",
                                                 "add_special_tokens",
                                                 "layers",
                                                 "heads"});
  if (!status.ok()) return status;
  auto outputs = ReadOipOutputs(message, kOipDecoderOutputs, kGenText);
  if (!outputs.ok()) return outputs.status();
  request.outputs = *std::move(outputs);
  if (message.outputs().empty()) request.outputs[kGenTokenIds] = true;
  if (stream && request.Wants(kGenAttention)) {
    return FieldError("outputs", "attention comes with a whole answer: call ModelInfer, or attnd.v1.Attnd/Generate");
  }
  if (status = ReadPrompt(message, request); !status.ok()) return status;
  if (status = ReadOptions(parameters, request.options); !status.ok()) return status;
  if (request.Wants(kGenLogprobs)) request.options.set_logprobs(0);
  request.options.set_prompt_logprobs(request.Wants(kGenPromptLogprobs));
  const auto special = parameters.Bool("add_special_tokens");
  if (!special.ok()) return special.status();
  request.add_special_tokens = special->value_or(true);
  auto selection = ReadOipSelection(parameters, shape.layers, shape.heads);
  if (!selection.ok()) return selection.status();
  request.selection = *std::move(selection);
  return request;
}

}  // namespace attnd
