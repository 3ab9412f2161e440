#include "core/weights/gguf_metadata.h"

#include "absl/strings/str_cat.h"
#include "core/weights/tensor_source.h"

namespace attnd {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

const GgufValue* GgufMetadata::Find(std::string_view key) const {
  const auto found = values_.find(View(key));
  return found == values_.end() ? nullptr : &found->second;
}

absl::Status GgufMetadata::Fault(std::string_view key, std::string_view fault) const {
  return absl::InvalidArgumentError(absl::StrCat(source_, ": ", QuotedName(key), " ", View(fault)));
}

absl::Status GgufMetadata::Require(std::string_view key) const {
  return Has(key) ? absl::OkStatus() : Fault(key, "is missing");
}

template <typename T>
absl::StatusOr<const T*> GgufMetadata::Get(std::string_view key, std::string_view what) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return static_cast<const T*>(nullptr);
  const T* typed = std::get_if<T>(value);
  if (typed == nullptr) return Fault(key, absl::StrCat("must be ", View(what)));
  return typed;
}

absl::StatusOr<int64_t> GgufMetadata::Int(std::string_view key, int64_t min, int64_t max, int64_t otherwise) const {
  auto value = Get<int64_t>(key, "an integer");
  if (!value.ok()) return value.status();
  if (*value == nullptr) return otherwise;
  if (**value < min || **value > max) {
    return Fault(key, absl::StrCat("is ", **value, ", must be from ", min, " to ", max));
  }
  return **value;
}

absl::StatusOr<double> GgufMetadata::Number(std::string_view key, double min, double max, double otherwise) const {
  auto value = Get<double>(key, "a float");
  if (!value.ok()) return value.status();
  if (*value == nullptr) return otherwise;
  if (!(**value >= min && **value <= max)) {
    return Fault(key, absl::StrCat("is ", **value, ", must be from ", min, " to ", max));
  }
  return **value;
}

absl::StatusOr<bool> GgufMetadata::Bool(std::string_view key, bool otherwise) const {
  auto value = Get<bool>(key, "a bool");
  if (!value.ok()) return value.status();
  return *value == nullptr ? otherwise : **value;
}

absl::StatusOr<std::string> GgufMetadata::String(std::string_view key, const std::string& otherwise) const {
  auto value = Get<std::string>(key, "a string");
  if (!value.ok()) return value.status();
  return *value == nullptr ? otherwise : **value;
}

absl::StatusOr<const std::vector<std::string>*> GgufMetadata::Strings(std::string_view key) const {
  return Get<std::vector<std::string>>(key, "an array of strings");
}

absl::StatusOr<const std::vector<int64_t>*> GgufMetadata::Ints(std::string_view key) const {
  return Get<std::vector<int64_t>>(key, "an array of integers");
}

absl::StatusOr<const std::vector<double>*> GgufMetadata::Numbers(std::string_view key) const {
  return Get<std::vector<double>>(key, "an array of floats");
}

}  // namespace attnd
