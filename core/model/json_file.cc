#include "core/model/json_file.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/text/read_file.h"

namespace attnd {
namespace {

constexpr size_t kFileBytesMax = size_t{4} << 20;
constexpr int kDepthMax = 64;
constexpr size_t kShownMax = 64;
constexpr size_t kListMax = 1024;  // layer_types has one a layer
constexpr size_t kStringMax = 256;

}  // namespace

std::string ShownValue(const nlohmann::json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kShownMax) text = text.substr(0, kShownMax) + "...";
  return text;
}

absl::StatusOr<nlohmann::json> ParseJson(const std::string& content, const std::string& name) {
  if (content.find('\0') != std::string::npos)
    return absl::InvalidArgumentError(absl::StrCat(name, ": holds a NUL byte"));
  bool deep = false;
  // Values that are too deep are dropped as they come, so that nesting costs no memory.
  const auto callback = [&deep](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    deep = deep || depth > kDepthMax;
    return depth <= kDepthMax;
  };
  nlohmann::json json = nlohmann::json::parse(content, callback, /*allow_exceptions=*/false);
  if (deep) return absl::InvalidArgumentError(absl::StrCat(name, ": nested deeper than ", kDepthMax, " levels"));
  if (json.is_discarded()) return absl::InvalidArgumentError(absl::StrCat(name, ": not valid JSON"));
  return json;
}

absl::StatusOr<nlohmann::json> ReadJson(const std::string& path) {
  absl::StatusOr<std::string> content = ReadFile(path, kFileBytesMax);
  if (!content.ok()) return content.status();
  return ParseJson(*content, path);
}

absl::StatusOr<JsonObject> ReadJsonObject(const std::string& path) {
  absl::StatusOr<nlohmann::json> json = ReadJson(path);
  if (!json.ok()) return json.status();
  if (!json->is_object()) return absl::InvalidArgumentError(absl::StrCat(path, ": not a JSON object"));
  return JsonObject(*std::move(json), path);
}

const nlohmann::json* JsonObject::Find(const std::string& key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool JsonObject::Has(const std::string& key) const { return Find(key) != nullptr; }

absl::Status JsonObject::Fault(const std::string& key, const std::string& fault) const {
  return absl::InvalidArgumentError(absl::StrCat(name_, ": ", absl::CHexEscape(key.substr(0, kStringMax)), " ", fault));
}

absl::Status JsonObject::Require(const std::vector<std::string>& keys) const {
  for (const std::string& key : keys) {
    if (!Has(key)) return Fault(key, "is missing");
  }
  return absl::OkStatus();
}

absl::StatusOr<int> JsonObject::Int(const std::string& key, int min, int max, int otherwise) const {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return otherwise;
  // A number above INT64_MAX is unsigned, and get<int64_t> would wrap it.
  const bool fits = value->is_number_integer() && (!value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX);
  if (!fits || value->get<int64_t>() < min || value->get<int64_t>() > max) {
    return Fault(key, absl::StrCat("must be an integer from ", min, " to ", max, ", is ", ShownValue(*value)));
  }
  return value->get<int>();
}

absl::StatusOr<double> JsonObject::Number(const std::string& key, double min, double max, double otherwise) const {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_number() || !(value->get<double>() >= min && value->get<double>() <= max)) {
    return Fault(key, absl::StrCat("must be a number from ", min, " to ", max, ", is ", ShownValue(*value)));
  }
  return value->get<double>();
}

absl::StatusOr<bool> JsonObject::Bool(const std::string& key, bool otherwise) const {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) return Fault(key, absl::StrCat("must be true or false, is ", ShownValue(*value)));
  return value->get<bool>();
}

absl::StatusOr<std::string> JsonObject::String(const std::string& key, const std::string& otherwise) const {
  const nlohmann::json* value = Find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) return Fault(key, absl::StrCat("must be a string, is ", ShownValue(*value)));
  if (value->get_ref<const std::string&>().size() > kStringMax) {
    return Fault(key, absl::StrCat("is longer than ", kStringMax, " bytes"));
  }
  return value->get<std::string>();
}

absl::StatusOr<std::vector<std::string>> JsonObject::Strings(const std::string& key) const {
  const nlohmann::json* value = Find(key);
  std::vector<std::string> result;
  if (value == nullptr) return result;
  if (!value->is_array() || value->size() > kListMax) {
    return Fault(key, absl::StrCat("must be a list of at most ", kListMax, " strings"));
  }
  for (const nlohmann::json& entry : *value) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().size() > kStringMax) {
      return Fault(key, absl::StrCat("must hold strings of at most ", kStringMax, " bytes, holds ", ShownValue(entry)));
    }
    result.push_back(entry.get<std::string>());
  }
  return result;
}

}  // namespace attnd
