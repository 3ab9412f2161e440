#include "core/weights/sharded.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/weights/checked_file.h"

namespace attnd {
namespace {

constexpr uint64_t kIndexBytesMax = 64 << 20;
constexpr size_t kPartsMax = 1024;
constexpr int kDepthMax = 4;

absl::StatusOr<nlohmann::json> ReadIndex(const std::string& path) {
  absl::StatusOr<CheckedFile> file = CheckedFile::Open(path);
  if (!file.ok()) return file.status();
  if (file->bytes() > kIndexBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", file->bytes(), " bytes, above the limit of ", kIndexBytesMax));
  }
  std::string text(file->bytes(), '\0');
  if (absl::Status status = file->ReadAt(0, text.data(), text.size()); !status.ok()) return status;
  bool deep = false;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    deep = deep || depth > kDepthMax;
    return !deep;  // what is deeper is dropped, not stored
  };
  nlohmann::json json = nlohmann::json::parse(text, watch, /*allow_exceptions=*/false);
  if (json.is_discarded() || deep || !json.is_object() || !json.contains("weight_map") ||
      !json["weight_map"].is_object()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": not a JSON object with a weight_map"));
  }
  return json;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShardedSafetensors>> ShardedSafetensors::Open(const std::string& index_path) {
  absl::StatusOr<nlohmann::json> index = ReadIndex(index_path);
  if (!index.ok()) return index.status();
  std::unique_ptr<ShardedSafetensors> result(new ShardedSafetensors());
  result->name_ = index_path;
  const std::string folder = index_path.substr(0, index_path.rfind('/') + 1);
  absl::flat_hash_map<std::string, const SafetensorsFile*> parts;
  for (const auto& entry : (*index)["weight_map"].items()) {
    if (!entry.value().is_string()) {
      return absl::InvalidArgumentError(
          absl::StrCat(index_path, ": weight_map ", QuotedName(entry.key()), " is not the name of a file"));
    }
    const auto& part = entry.value().get_ref<const std::string&>();
    const SafetensorsFile*& file = parts[part];
    if (file == nullptr) {
      // Only files beside the index: it may come from anywhere.
      if (absl::StrContains(part, '/') || absl::StrContains(part, '\0') || !absl::EndsWith(part, ".safetensors")) {
        return absl::InvalidArgumentError(absl::StrCat(index_path, ": weight_map names ", QuotedName(part),
                                                       "; parts are .safetensors files of the same folder"));
      }
      if (result->parts_.size() == kPartsMax) {
        return absl::InvalidArgumentError(absl::StrCat(index_path, ": more than ", kPartsMax, " parts"));
      }
      auto opened = SafetensorsFile::Open(folder + part);
      if (absl::IsNotFound(opened.status())) {
        return absl::InvalidArgumentError(absl::StrCat(index_path, ": the part ", QuotedName(part), " is missing"));
      }
      if (!opened.ok()) return opened.status();
      file = opened->get();
      result->parts_.push_back(*std::move(opened));
    }
    if (!file->Contains(entry.key())) return MissingTensor(file->name(), entry.key());
    result->part_of_.emplace(entry.key(), file);
  }
  return result;
}

const SafetensorsFile* ShardedSafetensors::Find(std::string_view tensor) const {
  const auto found = part_of_.find(absl::string_view(tensor.data(), tensor.size()));
  return found == part_of_.end() ? nullptr : found->second;
}

absl::StatusOr<std::vector<float>> ShardedSafetensors::ReadF32(std::string_view tensor,
                                                               absl::Span<const int64_t> shape) const {
  const SafetensorsFile* part = Find(tensor);
  if (part == nullptr) return MissingTensor(name_, tensor);
  return part->ReadF32(tensor, shape);
}

absl::StatusOr<std::unique_ptr<TensorSource>> OpenCheckpoint(const std::string& folder) {
  auto whole = SafetensorsFile::Open(absl::StrCat(folder, "/model.safetensors"));
  if (!absl::IsNotFound(whole.status())) return whole;
  auto sharded = ShardedSafetensors::Open(absl::StrCat(folder, "/model.safetensors.index.json"));
  if (!absl::IsNotFound(sharded.status())) return sharded;
  for (const char* pickle : {"/pytorch_model.bin", "/pytorch_model.bin.index.json"}) {
    if (CheckedFile::Open(folder + pickle).ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(folder, pickle, ": not read, since a pickle runs code when it is loaded; convert it once with ",
                       "transformers: model.save_pretrained(folder, safe_serialization=True)"));
    }
  }
  return whole.status();
}

}  // namespace attnd
