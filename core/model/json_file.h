// JsonObject: a small JSON file of a model folder, read with checks that name the file and the key.
#ifndef ATTND_CORE_MODEL_JSON_FILE_H_
#define ATTND_CORE_MODEL_JSON_FILE_H_

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace attnd {

// A JSON object out of a file. The getters give the default where the key is absent or null, and kInvalidArgument where
// the value has another type or is out of range.
class JsonObject {
 public:
  // `name` says where the object is, for errors: "models/x/config.json".
  JsonObject(nlohmann::json object, std::string name) : object_(std::move(object)), name_(std::move(name)) {}

  bool Has(const std::string& key) const;
  // kInvalidArgument when one of `keys` is absent.
  absl::Status Require(const std::vector<std::string>& keys) const;
  absl::StatusOr<int> Int(const std::string& key, int min, int max, int otherwise) const;
  absl::StatusOr<double> Number(const std::string& key, double min, double max, double otherwise) const;
  absl::StatusOr<bool> Bool(const std::string& key, bool otherwise) const;
  absl::StatusOr<std::string> String(const std::string& key, const std::string& otherwise) const;
  absl::StatusOr<std::vector<std::string>> Strings(const std::string& key) const;  // a list; empty by default

  // kInvalidArgument: "NAME: KEY FAULT".
  absl::Status Fault(const std::string& key, const std::string& fault) const;
  const nlohmann::json& json() const { return object_; }
  const std::string& name() const { return name_; }

 private:
  const nlohmann::json* Find(const std::string& key) const;  // null when absent or null
  nlohmann::json object_;
  std::string name_;
};

// Moves the value of a StatusOr into `to`; for chains of checks: status.Update(Store(...)).
template <typename T, typename U>
absl::Status Store(absl::StatusOr<T> value, U& to) {
  if (!value.ok()) return value.status();
  to = static_cast<U>(*std::move(value));
  return absl::OkStatus();
}

// Reads a file of at most 4 MiB, nested at most 64 deep.
absl::StatusOr<nlohmann::json> ReadJson(const std::string& path);
// The same for a file that must hold an object.
absl::StatusOr<JsonObject> ReadJsonObject(const std::string& path);
// The same from the file's content; `name` goes into errors.
absl::StatusOr<nlohmann::json> ParseJson(const std::string& content, const std::string& name);

// A value as errors show it: of bounded length, in ASCII.
std::string ShownValue(const nlohmann::json& value);

}  // namespace attnd

#endif  // ATTND_CORE_MODEL_JSON_FILE_H_
