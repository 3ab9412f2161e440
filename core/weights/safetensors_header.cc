#include "core/weights/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

// Receives the header's JSON as it is read, so that duplicate keys and depth are seen and nothing unexpected is stored.
// Each callback returns false to stop, having set error_.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderHandler(uint64_t data_begin, uint64_t data_bytes) : data_begin_(data_begin), data_bytes_(data_bytes) {}

  bool start_object(std::size_t) override {
    switch (level_) {
      case Level::kFile:
        level_ = Level::kNames;
        return true;
      case Level::kEntry:
        level_ = in_metadata_ ? Level::kMetadata : Level::kFields;
        return true;
      default:
        return Unexpected("an object");
    }
  }

  bool key(string_t& name) override {
    if (level_ == Level::kNames) return Name(std::move(name));
    if (level_ == Level::kMetadata) {
      if (metadata_keys_.size() >= kSafetensorsMetadataMax) {
        return Fail(absl::StrCat("__metadata__ has more than ", kSafetensorsMetadataMax, " entries"));
      }
      if (!metadata_keys_.insert(name).second)
        return Fail(absl::StrCat("__metadata__: duplicate key ", QuotedName(name)));
      level_ = Level::kMetadataValue;
      return true;
    }
    return Field(name);
  }

  bool string(string_t& value) override {
    if (level_ == Level::kMetadataValue) {
      level_ = Level::kMetadata;
      return true;
    }
    if (level_ != Level::kDType) return Unexpected("a string");
    const std::optional<DType> dtype = DTypeFromName(value);
    if (!dtype.has_value()) return Fail(absl::StrCat(Where(), ": unknown dtype ", QuotedName(value)));
    dtype_ = *dtype;
    level_ = Level::kFields;
    return true;
  }

  bool start_array(std::size_t) override {
    if (level_ == Level::kShape) {
      level_ = Level::kExtents;
    } else if (level_ == Level::kOffsets) {
      level_ = Level::kOffset;
    } else {
      return Unexpected("an array");
    }
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (level_ == Level::kExtents) {
      if (shape_.size() >= kSafetensorsRankMax) {
        return Fail(absl::StrCat(Where(), ": shape has more than ", kSafetensorsRankMax, " dimensions"));
      }
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        return Fail(absl::StrCat(Where(), ": shape overflows"));
      }
      shape_.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (level_ != Level::kOffset) return Unexpected("a number");
    if (offsets_.size() >= 2) return Fail(absl::StrCat(Where(), ": data_offsets must hold two numbers"));
    offsets_.push_back(value);
    return true;
  }

  bool end_array() override {
    if (level_ == Level::kOffset && offsets_.size() != 2) {
      return Fail(absl::StrCat(Where(), ": data_offsets must hold two numbers"));
    }
    level_ = Level::kFields;
    return true;
  }

  bool end_object() override {
    if (level_ == Level::kNames) {
      level_ = Level::kDone;
      return true;
    }
    if (level_ == Level::kFields && !Finish()) return false;
    level_ = Level::kNames;
    return true;
  }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool) override { return Unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return Unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return Unexpected("a number that is not an integer below 2^64");
  }
  bool binary(binary_t&) override { return Unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    return Fail(absl::StrCat("the header is not valid JSON in UTF-8 at its byte ", position));
  }

  const std::string& error() const { return error_; }
  absl::flat_hash_map<std::string, TensorInfo>& tensors() { return tensors_; }

 private:
  // Where the parser is: what the next value is.
  enum class Level {
    kFile,
    kNames,
    kEntry,
    kFields,
    kDType,
    kShape,
    kExtents,
    kOffsets,
    kOffset,
    kMetadata,
    kMetadataValue,
    kDone
  };

  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }

  std::string Where() const {
    if (in_metadata_) return "__metadata__";
    return name_.empty() ? "the header" : absl::StrCat("tensor ", QuotedName(name_));
  }

  bool Unexpected(const char* what) { return Fail(absl::StrCat(Where(), ": ", what, " where the format has none")); }

  bool Name(std::string name) {
    in_metadata_ = name == "__metadata__";
    name_ = std::move(name);
    level_ = Level::kEntry;
    if (in_metadata_) {
      if (std::exchange(seen_metadata_, true)) return Fail("duplicate __metadata__");
      return true;
    }
    if (tensors_.size() >= kSafetensorsTensorsMax) {
      return Fail(absl::StrCat("more than ", kSafetensorsTensorsMax, " tensors"));
    }
    if (tensors_.contains(name_)) return Fail(absl::StrCat("duplicate ", Where()));
    dtype_.reset();
    shape_.clear();
    offsets_.clear();
    seen_shape_ = seen_offsets_ = false;
    return true;
  }

  bool Field(const std::string& field) {
    bool duplicate = false;
    if (field == "dtype") {
      duplicate = dtype_.has_value();
      level_ = Level::kDType;
    } else if (field == "shape") {
      duplicate = std::exchange(seen_shape_, true);
      level_ = Level::kShape;
    } else if (field == "data_offsets") {
      duplicate = std::exchange(seen_offsets_, true);
      level_ = Level::kOffsets;
    } else {
      return Fail(absl::StrCat(Where(), ": unknown key ", QuotedName(field)));
    }
    return duplicate ? Fail(absl::StrCat(Where(), ": duplicate key ", field)) : true;
  }

  // All fields of a tensor are there: checks them against each other.
  bool Finish() {
    const char* missing = !dtype_.has_value() ? "dtype"
                          : !seen_shape_      ? "shape"
                          : !seen_offsets_    ? "data_offsets"
                                              : nullptr;
    if (missing != nullptr) return Fail(absl::StrCat(Where(), ": ", missing, " is missing"));
    uint64_t bytes = DTypeSize(*dtype_);
    for (int64_t extent : shape_) {
      if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) {
        return Fail(absl::StrCat(Where(), ": shape ", ShapeText(shape_), " overflows"));
      }
    }
    if (offsets_[0] > offsets_[1]) return Fail(absl::StrCat(Where(), ": data_offsets end before they begin"));
    if (offsets_[1] - offsets_[0] != bytes) {
      return Fail(absl::StrCat(Where(), ": data_offsets span ", offsets_[1] - offsets_[0], " bytes, shape ",
                               ShapeText(shape_), " of ", std::string(DTypeName(*dtype_)), " has ", bytes));
    }
    if (offsets_[1] > data_bytes_) {
      return Fail(absl::StrCat(Where(), ": data_offsets end beyond the file (is it truncated?)"));
    }
    tensors_.emplace(std::move(name_), TensorInfo{*dtype_, shape_, data_begin_ + offsets_[0], bytes});
    name_.clear();
    return true;
  }

  const uint64_t data_begin_;  // offset in the file
  const uint64_t data_bytes_;
  Level level_ = Level::kFile;
  std::string error_;
  absl::flat_hash_map<std::string, TensorInfo> tensors_;
  absl::flat_hash_set<std::string> metadata_keys_;
  bool seen_metadata_ = false;
  // The entry being read.
  bool in_metadata_ = false;
  std::string name_;
  std::optional<DType> dtype_;
  std::vector<int64_t> shape_;
  std::vector<uint64_t> offsets_;
  bool seen_shape_ = false;
  bool seen_offsets_ = false;
};

// The tensors must cover the data from its first byte to its last, without holes or overlap.
absl::Status CheckLayout(const absl::flat_hash_map<std::string, TensorInfo>& tensors, uint64_t data_begin,
                         uint64_t data_bytes) {
  std::vector<std::pair<const std::string*, const TensorInfo*>> sorted;
  sorted.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) sorted.emplace_back(&name, &tensor);
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->offset, a.second->bytes) < std::pair(b.second->offset, b.second->bytes);
  });
  uint64_t end = data_begin;
  for (const auto& [name, tensor] : sorted) {
    if (tensor->offset != end) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", QuotedName(*name), ": data_offsets leave ",
                                                     tensor->offset > end ? "a hole" : "an overlap", " before it"));
    }
    end += tensor->bytes;
  }
  if (end != data_begin + data_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(data_begin + data_bytes - end, " bytes after the last tensor belong to none"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<absl::flat_hash_map<std::string, TensorInfo>> ParseSafetensorsHeader(std::string_view json,
                                                                                    uint64_t data_bytes) {
  if (json.empty() || json.front() != '{') return absl::InvalidArgumentError("the header does not start with '{'");
  if (json.find('\0') != std::string_view::npos) return absl::InvalidArgumentError("the header holds a NUL byte");
  if (json[json.find_last_not_of(' ')] != '}') {
    return absl::InvalidArgumentError("the header is followed by something else than spaces");
  }
  const uint64_t data_begin = sizeof(uint64_t) + json.size();
  HeaderHandler handler(data_begin, data_bytes);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &handler)) {
    return absl::InvalidArgumentError(handler.error());
  }
  if (absl::Status status = CheckLayout(handler.tensors(), data_begin, data_bytes); !status.ok()) return status;
  return std::move(handler.tensors());
}

}  // namespace attnd
