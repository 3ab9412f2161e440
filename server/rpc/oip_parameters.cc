#include "server/rpc/oip_parameters.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/ops/status.h"

namespace attnd {
namespace {

using Parameter = inference::InferParameter;

// What clients send by themselves. "priority" and the sequence ones change nothing here: there are no priorities, and
// requests hold no state.
constexpr absl::string_view kOfEveryModel[] = {"timeout",        "priority",     "sequence_id",
                                               "sequence_start", "sequence_end", "binary_data_output"};

absl::Status TypeError(absl::string_view name, absl::string_view type) {
  return FieldError(absl::StrCat("parameters.", name), absl::StrCat("it must be ", type));
}

// int64_param and uint64_param, or nothing.
std::optional<int64_t> IntegerOf(const Parameter& parameter) {
  if (parameter.has_int64_param()) return parameter.int64_param();
  if (parameter.has_uint64_param()) {
    return static_cast<int64_t>(std::min<uint64_t>(parameter.uint64_param(), std::numeric_limits<int64_t>::max()));
  }
  return std::nullopt;
}

}  // namespace

const Parameter* OipParameters::Find(absl::string_view name) const {
  const auto found = request_.parameters().find(std::string(name));
  return found == request_.parameters().end() ? nullptr : &found->second;
}

absl::Status OipParameters::RefuseOthers(absl::Span<const absl::string_view> known) const {
  for (const auto& parameter : request_.parameters()) {
    const absl::string_view name = parameter.first;
    const auto is = [name](absl::string_view other) { return other == name; };
    if (absl::StartsWith(name, "triton_") || std::any_of(known.begin(), known.end(), is) ||
        std::any_of(std::begin(kOfEveryModel), std::end(kOfEveryModel), is)) {
      continue;
    }
    return FieldError(OipParameterField("parameters", name),
                      absl::StrCat("unknown; the model takes ", absl::StrJoin(known, ", "), " and timeout"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<bool>> OipParameters::Bool(absl::string_view name) const {
  const Parameter* parameter = Find(name);
  if (parameter == nullptr) return std::nullopt;
  if (!parameter->has_bool_param()) return TypeError(name, "bool_param");
  return parameter->bool_param();
}

absl::StatusOr<std::optional<double>> OipParameters::Number(absl::string_view name) const {
  const Parameter* parameter = Find(name);
  if (parameter == nullptr) return std::nullopt;
  if (parameter->has_double_param()) return parameter->double_param();
  if (const auto integer = IntegerOf(*parameter)) return static_cast<double>(*integer);
  return TypeError(name, "double_param or int64_param");
}

absl::StatusOr<std::optional<int64_t>> OipParameters::Integer(absl::string_view name) const {
  const Parameter* parameter = Find(name);
  if (parameter == nullptr) return std::nullopt;
  if (const auto integer = IntegerOf(*parameter)) return *integer;
  return TypeError(name, "int64_param");
}

absl::StatusOr<std::optional<std::string>> OipParameters::Text(absl::string_view name) const {
  const Parameter* parameter = Find(name);
  if (parameter == nullptr) return std::nullopt;
  if (parameter->has_string_param()) return parameter->string_param();
  if (const auto integer = IntegerOf(*parameter)) return absl::StrCat(*integer);
  return TypeError(name, "string_param");
}

absl::StatusOr<std::optional<absl::Duration>> OipParameters::Timeout() const {
  // Triton's clients send it as an integer, some as text.
  const auto text = Text("timeout");
  if (!text.ok()) return TypeError("timeout", "int64_param, microseconds");
  if (!text->has_value()) return std::nullopt;
  int64_t us;
  if (!absl::SimpleAtoi(**text, &us) || us < 0) return TypeError("timeout", "microseconds, 0 or more");
  if (us == 0) return std::nullopt;
  return absl::Microseconds(us);
}

std::string OipParameterField(absl::string_view field, absl::string_view name) {
  // Named where it is a name; anything else is the caller's text.
  const bool is_name = name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
                         return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
                       });
  return is_name ? absl::StrCat(field, ".", name) : std::string(field);
}

absl::StatusOr<HeadSelection> ReadOipSelection(const OipParameters& parameters, int layers, int heads) {
  const auto layer_list = parameters.Text("layers");
  if (!layer_list.ok()) return layer_list.status();
  const auto head_list = parameters.Text("heads");
  if (!head_list.ok()) return head_list.status();
  auto selection = HeadSelection::ParseCross(layer_list->value_or(""), head_list->value_or(""), layers, heads);
  if (selection.ok()) return selection;
  // "heads: ..." is an error of the parameter "heads".
  const absl::Status& status = selection.status();
  for (const absl::string_view name : {"layers", "heads"}) {
    if (!absl::StartsWith(status.message(), absl::StrCat(name, ": "))) continue;
    return WithField(absl::Status(status.code(), status.message().substr(name.size() + 2)),
                     absl::StrCat("parameters.", name));
  }
  return WithField(status, "parameters");
}

OipSelectionShape ShapeOf(const HeadSelection& selection) {
  const int first = selection.items()[0].head;
  const int64_t layers = std::count_if(selection.items().begin(), selection.items().end(),
                                       [first](const LayerHead& item) { return item.head == first; });
  return {layers, selection.size() / layers};
}

}  // namespace attnd
