#include "core/weights/gguf_header.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/weights/gguf_cursor.h"
#include "core/weights/tensor_source.h"

namespace attnd {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kNameBytesMax = 1024;
constexpr uint64_t kAlignmentMax = 1 << 20;

// The types of metadata values, as the file numbers them.
enum ValueType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

int ValueBytes(uint32_t type) {  // 0: not a number
  static constexpr int kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < std::size(kBytes) ? kBytes[type] : 0;
}

class HeaderReader {
 public:
  explicit HeaderReader(const CheckedFile& file) : file_(file), cursor_(file), header_{GgufMetadata(file.name()), {}} {}

  absl::StatusOr<GgufHeader> Read() {
    if (absl::Status status = ReadAll(); !status.ok()) {
      // What the cursor saw (the file's end) comes before what that made of the values.
      if (!cursor_.status().ok()) status = cursor_.status();
      if (absl::IsAborted(status)) return status;
      return absl::Status(status.code(), absl::StrCat(file_.name(), ": ", status.message()));
    }
    return std::move(header_);
  }

 private:
  static absl::Status Fault(const std::string& text) { return absl::InvalidArgumentError(text); }

  absl::Status ReadAll() {
    const auto magic = cursor_.Number<uint32_t>();
    const auto version = cursor_.Number<uint32_t>();
    if (!cursor_.status().ok()) return cursor_.status();
    if (magic != kMagic) return Fault("not a GGUF file: it does not start with GGUF");
    if (version != 0 && (version & 0xffff) == 0) return Fault("a big-endian GGUF file, which is not supported");
    if (version < 2 || version > 3) return Fault(absl::StrCat("GGUF version ", version, "; 2 and 3 are supported"));
    const auto tensors = cursor_.Number<uint64_t>();
    const auto keys = cursor_.Number<uint64_t>();
    if (tensors > kGgufTensorsMax) return Fault(absl::StrCat(tensors, " tensors, the limit is ", kGgufTensorsMax));
    if (keys > kGgufKeysMax) return Fault(absl::StrCat(keys, " metadata keys, the limit is ", kGgufKeysMax));
    for (uint64_t i = 0; i < keys; ++i) {
      if (absl::Status status = ReadKey(); !status.ok()) return status;
    }
    if (absl::Status status = ReadAlignment(); !status.ok()) return status;
    for (uint64_t i = 0; i < tensors; ++i) {
      if (absl::Status status = ReadTensor(); !status.ok()) return status;
    }
    return CheckLayout();
  }

  absl::Status ReadKey() {
    std::string key = cursor_.String(kNameBytesMax);
    const auto type = cursor_.Number<uint32_t>();
    absl::StatusOr<GgufValue> value = type == kArray ? ReadArray(key) : ReadValue(key, type);
    if (!cursor_.status().ok()) return cursor_.status();
    if (!value.ok()) return value.status();
    if (!header_.metadata.Add(key, *std::move(value))) {
      return Fault(absl::StrCat("duplicate metadata key ", QuotedName(key)));
    }
    return absl::OkStatus();
  }

  static absl::Status UnknownType(const std::string& key, uint32_t type) {
    return Fault(absl::StrCat("metadata ", QuotedName(key), " has the unknown value type ", type));
  }

  absl::StatusOr<GgufValue> ReadValue(const std::string& key, uint32_t type) {
    if (type == kString) return GgufValue(cursor_.String(kGgufHeaderBytesMax));
    if (type == kF32) return GgufValue(double{cursor_.Number<float>()});
    if (type == kF64) return GgufValue(cursor_.Number<double>());
    if (ValueBytes(type) == 0) return UnknownType(key, type);
    const int64_t value = Integer(type);
    if (type == kU64 && value < 0) return Fault(absl::StrCat("metadata ", QuotedName(key), " is above 2^63 - 1"));
    if (type == kBool) {
      if (value > 1) return Fault(absl::StrCat("metadata ", QuotedName(key), " is a bool of value ", value));
      return GgufValue(value == 1);
    }
    return GgufValue(value);
  }

  int64_t Integer(uint32_t type) {
    switch (type) {
      case kU8:
      case kBool:
        return cursor_.Number<uint8_t>();
      case kI8:
        return cursor_.Number<int8_t>();
      case kU16:
        return cursor_.Number<uint16_t>();
      case kI16:
        return cursor_.Number<int16_t>();
      case kU32:
        return cursor_.Number<uint32_t>();
      case kI32:
        return cursor_.Number<int32_t>();
      default:
        return cursor_.Number<int64_t>();
    }
  }

  absl::StatusOr<GgufValue> ReadArray(const std::string& key) {
    const auto type = cursor_.Number<uint32_t>();
    const auto size = cursor_.Number<uint64_t>();
    if (!cursor_.status().ok()) return cursor_.status();
    if (type != kString && ValueBytes(type) == 0) return UnknownType(key, type);
    const uint64_t most = type == kString ? kGgufStringsMax : kGgufArrayMax;
    const uint64_t element = type == kString ? sizeof(uint64_t) : ValueBytes(type);
    if (size > most || size > cursor_.remaining() / element) {
      return Fault(absl::StrCat("metadata ", QuotedName(key), " is an array of ", size,
                                " elements, beyond the limit of ", most, " or the file's end"));
    }
    if (type == kString) return ReadElements<std::string>(size, [&] { return cursor_.String(kGgufHeaderBytesMax); });
    if (type == kF32) return ReadElements<double>(size, [&] { return double{cursor_.Number<float>()}; });
    if (type == kF64) return ReadElements<double>(size, [&] { return cursor_.Number<double>(); });
    return ReadElements<int64_t>(size, [&] { return Integer(type); });
  }

  template <typename T, typename Next>
  absl::StatusOr<GgufValue> ReadElements(uint64_t size, const Next& next) {
    std::vector<T> values;
    values.reserve(size);
    for (uint64_t i = 0; i < size && cursor_.status().ok(); ++i) values.push_back(next());
    return GgufValue(std::move(values));
  }

  absl::Status ReadAlignment() {
    auto alignment = header_.metadata.Int("general.alignment", 1, kAlignmentMax, 32);
    if (!alignment.ok()) return Fault("general.alignment is not an integer from 1 to 2^20");
    alignment_ = static_cast<uint64_t>(*alignment);
    if ((alignment_ & (alignment_ - 1)) != 0) return Fault("general.alignment is not a power of 2");
    const auto parts = header_.metadata.Int("split.count", 0, 1 << 16, 0);
    if (parts.ok() && *parts > 1) {
      return Fault(absl::StrCat("one of ", *parts, " parts of a split GGUF: merge them with llama-gguf-split --merge"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadTensor() {
    std::string name = cursor_.String(kNameBytesMax);
    const std::string where = absl::StrCat("tensor ", QuotedName(name));
    const auto rank = cursor_.Number<uint32_t>();
    if (cursor_.status().ok() && (rank < 1 || rank > kGgufRankMax)) {
      return Fault(absl::StrCat(where, " has ", rank, " dimensions; 1 to ", kGgufRankMax, " are possible"));
    }
    GgufTensor tensor{};
    for (uint32_t i = 0; i < rank && i < kGgufRankMax; ++i) tensor.shape.push_back(cursor_.Number<int64_t>());
    const auto type = cursor_.Number<uint32_t>();
    tensor.offset = cursor_.Number<uint64_t>();
    if (!cursor_.status().ok()) return cursor_.status();
    tensor.type = FindGgmlType(type);
    if (tensor.type == nullptr) {
      return Fault(absl::StrCat(where, " has the type number ", type, ", which is not supported; supported are ",
                                std::string(GgmlTypeNames())));
    }
    if (tensor.shape.front() % tensor.type->block_elements != 0) {
      return Fault(absl::StrCat(where, " has rows of ", tensor.shape.front(), " elements, not whole blocks of ",
                                tensor.type->block_elements));
    }
    uint64_t elements = 1;
    for (const int64_t extent : tensor.shape) {
      if (extent < 1 || __builtin_mul_overflow(elements, static_cast<uint64_t>(extent), &elements)) elements = 0;
      if (elements == 0) break;
    }
    if (elements == 0 ||
        __builtin_mul_overflow(elements / tensor.type->block_elements, tensor.type->block_bytes, &tensor.bytes) ||
        tensor.bytes > file_.bytes()) {
      return Fault(absl::StrCat(where, " has the shape ", ShapeText(tensor.shape), ": empty, or larger than the file"));
    }
    std::reverse(tensor.shape.begin(), tensor.shape.end());
    if (!header_.tensors.emplace(name, std::move(tensor)).second) return Fault(absl::StrCat("duplicate ", where));
    return absl::OkStatus();
  }

  uint64_t Align(uint64_t n) const { return (n + alignment_ - 1) & ~(alignment_ - 1); }

  // Offsets count from the first aligned byte after the infos; tensors lie without holes but padding.
  absl::Status CheckLayout() {
    if (header_.tensors.empty()) return Fault("it has no tensors");
    const uint64_t begin = Align(cursor_.position());
    if (begin > file_.bytes()) return Fault("the file ends before its tensors (is it truncated?)");
    const uint64_t data = file_.bytes() - begin;
    std::vector<std::pair<const std::string*, GgufTensor*>> order;
    for (auto& [name, tensor] : header_.tensors) order.emplace_back(&name, &tensor);
    std::sort(order.begin(), order.end(),
              [](const auto& a, const auto& b) { return a.second->offset < b.second->offset; });
    uint64_t end = 0;
    for (const auto& [name, tensor] : order) {
      if (tensor->offset != Align(end)) {
        return Fault(absl::StrCat("tensor ", QuotedName(*name), " is at offset ", tensor->offset, ", expected ",
                                  Align(end), ": tensors must not overlap or leave holes"));
      }
      if (tensor->offset > data || tensor->bytes > data - tensor->offset) {
        return Fault(absl::StrCat("tensor ", QuotedName(*name), " ends beyond the file's ", file_.bytes(),
                                  " bytes (is it truncated?)"));
      }
      end = tensor->offset + tensor->bytes;
      tensor->offset += begin;
    }
    if (data > Align(end)) {
      return Fault(absl::StrCat(data - Align(end), " bytes follow the last tensor, which no tensor names"));
    }
    return absl::OkStatus();
  }

  const CheckedFile& file_;
  GgufCursor cursor_;
  GgufHeader header_;
  uint64_t alignment_ = 32;
};

}  // namespace

absl::StatusOr<GgufHeader> ReadGgufHeader(const CheckedFile& file) { return HeaderReader(file).Read(); }

}  // namespace attnd
