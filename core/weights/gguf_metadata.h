// GgufMetadata: the key-value pairs at the head of a GGUF file.
#ifndef ATTND_CORE_WEIGHTS_GGUF_METADATA_H_
#define ATTND_CORE_WEIGHTS_GGUF_METADATA_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace attnd {

// Integers of all widths are int64_t, floats are double; arrays of bool are arrays of int64_t.
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, std::vector<double>,
                               std::vector<std::string>>;

// Immutable once the file is open. Getters give the default where the key is absent, and kInvalidArgument naming the
// file, the key and the fault where the value has another type or is out of range.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string source) : source_(std::move(source)) {}

  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  absl::StatusOr<int64_t> Int(std::string_view key, int64_t min, int64_t max, int64_t otherwise) const;
  absl::StatusOr<double> Number(std::string_view key, double min, double max, double otherwise) const;
  absl::StatusOr<bool> Bool(std::string_view key, bool otherwise) const;
  absl::StatusOr<std::string> String(std::string_view key, const std::string& otherwise) const;
  // Null where absent; the array lives as long as this does.
  absl::StatusOr<const std::vector<std::string>*> Strings(std::string_view key) const;
  absl::StatusOr<const std::vector<int64_t>*> Ints(std::string_view key) const;
  absl::StatusOr<const std::vector<double>*> Numbers(std::string_view key) const;

  // kInvalidArgument when `key` is absent.
  absl::Status Require(std::string_view key) const;
  absl::Status Fault(std::string_view key, std::string_view fault) const;
  const std::string& source() const { return source_; }

  // False when the key is there already. For the reader.
  bool Add(std::string key, GgufValue value) { return values_.emplace(std::move(key), std::move(value)).second; }
  size_t size() const { return values_.size(); }

 private:
  const GgufValue* Find(std::string_view key) const;
  template <typename T>
  absl::StatusOr<const T*> Get(std::string_view key, std::string_view what) const;

  std::string source_;  // a path, for errors
  absl::flat_hash_map<std::string, GgufValue> values_;
};

}  // namespace attnd

#endif  // ATTND_CORE_WEIGHTS_GGUF_METADATA_H_
