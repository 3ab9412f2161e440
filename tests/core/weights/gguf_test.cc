#include "core/weights/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/weights/safetensors.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char* const kTypes = ATTND_SOURCE_DIR "/tests/golden/gguf/types";

absl::StatusOr<std::unique_ptr<GgufFile>> Parse(const std::string& file) {
  return GgufFile::Parse(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(file.data()), file.size()), "x");
}

template <typename T>
std::string Raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}
std::string Text(const std::string& text) { return Raw<uint64_t>(text.size()) + text; }

// A file of one key and tensors as given, `data` bytes after them.
struct Builder {
  uint32_t magic = 0x46554747;
  uint32_t version = 3;
  uint64_t tensors = 1;
  uint64_t keys = 1;
  std::string metadata = Text("general.architecture") + Raw<uint32_t>(8) + Text("llama");
  std::string infos = Info("a", {4, 2}, 0, 0);
  size_t data = 32;

  static std::string Info(const std::string& name, const std::vector<int64_t>& extents, uint32_t type,
                          uint64_t offset) {
    std::string info = Text(name) + Raw<uint32_t>(extents.size());
    for (const int64_t extent : extents) info += Raw(extent);
    return info + Raw(type) + Raw(offset);
  }
  std::string Build() const {
    std::string file = Raw(magic) + Raw(version) + Raw(tensors) + Raw(keys) + metadata + infos;
    file.resize((file.size() + 31) / 32 * 32, '\0');
    file.append(data, '\1');
    return file;
  }
};

TEST(GgufTest, EveryTypeIsWhatTheReferenceMakesOfIt) {
  auto file = GgufFile::Open(absl::StrCat(kTypes, ".gguf"));
  ASSERT_TRUE(file.ok()) << file.status();
  auto expected = SafetensorsFile::Open(absl::StrCat(kTypes, ".safetensors"));
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ((*file)->tensors().size(), 11u);
  for (const auto& [name, tensor] : (*file)->tensors()) {
    const auto want = (*expected)->ReadF32(name, {2, 512});
    const auto got = (*file)->ReadF32(name, {2, 512});
    ASSERT_TRUE(want.ok() && got.ok()) << name << got.status();
    EXPECT_EQ(name, std::string(tensor.type->name));
    for (size_t i = 0; i < want->size(); ++i) ASSERT_NEAR((*got)[i], (*want)[i], 1e-6) << name << " " << i;
  }
}

TEST(GgufTest, ReadsMetadataOfEveryType) {
  auto file = GgufFile::Open(absl::StrCat(kTypes, ".gguf"));
  ASSERT_TRUE(file.ok()) << file.status();
  const GgufMetadata& metadata = (*file)->metadata();
  constexpr int64_t kMost = int64_t{1} << 62;
  const auto number = [&](const char* key) { return metadata.Int(key, -kMost, kMost, 0).value(); };
  EXPECT_EQ(number("test.u8"), 200);
  EXPECT_EQ(number("test.i8"), -100);
  EXPECT_EQ(number("test.u16"), 60000);
  EXPECT_EQ(number("test.i16"), -30000);
  EXPECT_EQ(number("test.u32"), 4000000000);
  EXPECT_EQ(number("test.i32"), -2000000000);
  EXPECT_EQ(number("test.u64"), int64_t{1} << 40);
  EXPECT_EQ(number("test.i64"), -(int64_t{1} << 40));
  EXPECT_EQ(metadata.Number("test.f32", -1, 1, 0).value(), 0.5);
  EXPECT_EQ(metadata.Number("test.f64", -1, 1, 0).value(), -0.25);
  EXPECT_TRUE(metadata.Bool("test.bool", false).value());
  EXPECT_EQ(metadata.String("test.string", "").value(), "zażółć");
  EXPECT_THAT(*metadata.Strings("test.strings").value(), ElementsAre("a", "", "łódź"));
  EXPECT_THAT(*metadata.Ints("test.ints").value(), ElementsAre(1, -2, 3));
  EXPECT_THAT(*metadata.Numbers("test.floats").value(), ElementsAre(0.5, -1.5));
  EXPECT_EQ(metadata.Int("test.absent", 0, 1, 7).value(), 7);
  EXPECT_EQ(metadata.Strings("test.absent").value(), nullptr);
  EXPECT_THAT(metadata.Int("test.string", 0, 1, 0).status().message(), HasSubstr("'test.string' must be an integer"));
  EXPECT_THAT(metadata.Int("test.u8", 0, 100, 0).status().message(), HasSubstr("is 200, must be from 0 to 100"));
}

TEST(GgufTest, ShapesAreRowMajorAndChecked) {
  const std::string bytes = Builder().Build();
  auto file = Parse(bytes);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT((*file)->Find("a")->shape, ElementsAre(2, 4));
  EXPECT_EQ((*file)->ReadF32("a", {2, -1})->size(), 8u);
  EXPECT_THAT((*file)->ReadF32("a", {4, 2}).status().message(),
              HasSubstr("x: tensor 'a' has shape [2, 4], expected [4, 2]"));
  EXPECT_THAT((*file)->ReadF32("b", {4, 2}).status().message(), HasSubstr("x: tensor 'b' is missing"));
}

TEST(GgufTest, EveryTruncationIsRefused) {
  const std::string bytes = Builder().Build();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string part = bytes.substr(0, size);  // a heap buffer of its own: reads beyond it are seen
    auto file = Parse(part);
    ASSERT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument) << size;
    ASSERT_LT(file.status().message().size(), 400u);
  }
}

struct Fault {
  const char* name;
  void (*spoil)(Builder&);
  const char* message;
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

constexpr uint64_t kHuge = uint64_t{1} << 60;
const Fault kFaults[] = {
    {"magic", [](Builder& b) { b.magic = 1; }, "not a GGUF file"},
    {"version1", [](Builder& b) { b.version = 1; }, "GGUF version 1; 2 and 3"},
    {"version4", [](Builder& b) { b.version = 4; }, "GGUF version 4; 2 and 3"},
    {"big_endian", [](Builder& b) { b.version = 0x03000000; }, "big-endian"},
    {"tensor_count", [](Builder& b) { b.tensors = kHuge; }, "tensors, the limit is"},
    {"key_count", [](Builder& b) { b.keys = kHuge; }, "metadata keys, the limit is"},
    {"no_tensors", [](Builder& b) { b.tensors = 0, b.infos.clear(); }, "no tensors"},
    {"more_keys_than_there_are", [](Builder& b) { b.keys = 40; }, "x: "},
    {"key_length", [](Builder& b) { b.metadata = Raw(kHuge) + b.metadata; }, "beyond its limit or the file's end"},
    {"string_length", [](Builder& b) { b.metadata = Text("k") + Raw<uint32_t>(8) + Raw(kHuge); }, "a string of"},
    {"array_length",
     [](Builder& b) { b.metadata = Text("k") + Raw<uint32_t>(9) + Raw<uint32_t>(5) + Raw<uint64_t>(1 << 20); },
     "an array of 1048576 elements"},
    {"string_array_length",
     [](Builder& b) { b.metadata = Text("k") + Raw<uint32_t>(9) + Raw<uint32_t>(8) + Raw<uint64_t>(100); },
     "an array of 100 elements"},
    {"array_of_arrays",
     [](Builder& b) { b.metadata = Text("k") + Raw<uint32_t>(9) + Raw<uint32_t>(9) + Raw<uint64_t>(1); },
     "unknown value type 9"},
    {"value_type", [](Builder& b) { b.metadata = Text("k") + Raw<uint32_t>(13) + Text(""); }, "unknown value type 13"},
    {"bool", [](Builder& b) { b.metadata = Text("k") + Raw<uint32_t>(7) + "\2"; }, "a bool of value 2"},
    {"u64", [](Builder& b) { b.metadata = Text("k") + Raw<uint32_t>(10) + Raw(~uint64_t{0}); }, "above 2^63 - 1"},
    {"duplicate_key", [](Builder& b) { b.keys = 2, b.metadata += b.metadata; }, "duplicate metadata key"},
    {"alignment", [](Builder& b) { b.metadata = Text("general.alignment") + Raw<uint32_t>(4) + Raw<uint32_t>(24); },
     "not a power of 2"},
    {"alignment_0", [](Builder& b) { b.metadata = Text("general.alignment") + Raw<uint32_t>(4) + Raw<uint32_t>(0); },
     "general.alignment"},
    {"split", [](Builder& b) { b.metadata = Text("split.count") + Raw<uint32_t>(2) + Raw<uint16_t>(3); },
     "one of 3 parts of a split GGUF"},
    {"rank_0", [](Builder& b) { b.infos = Builder::Info("a", {}, 0, 0); }, "has 0 dimensions"},
    {"rank_5", [](Builder& b) { b.infos = Builder::Info("a", {1, 1, 1, 1, 1}, 0, 0); }, "has 5 dimensions"},
    {"extent_0", [](Builder& b) { b.infos = Builder::Info("a", {4, 0}, 0, 0); }, "empty, or larger than the file"},
    {"extent_negative", [](Builder& b) { b.infos = Builder::Info("a", {4, -2}, 0, 0); }, "empty, or larger"},
    {"overflow", [](Builder& b) { b.infos = Builder::Info("a", {int64_t{1} << 40, int64_t{1} << 40}, 0, 0); },
     "empty, or larger than the file"},
    {"byte_overflow", [](Builder& b) { b.infos = Builder::Info("a", {int64_t{1} << 62}, 0, 0); },
     "larger than the file"},
    {"type", [](Builder& b) { b.infos = Builder::Info("a", {4, 2}, 10, 0); }, "type number 10, which is not supported"},
    {"partial_block", [](Builder& b) { b.infos = Builder::Info("a", {40}, 8, 0); }, "not whole blocks of 32"},
    {"offset_beyond", [](Builder& b) { b.infos = Builder::Info("a", {4, 2}, 0, kHuge); },
     "at offset 1152921504606846976"},
    {"hole", [](Builder& b) { b.infos = Builder::Info("a", {4, 2}, 0, 32), b.data = 64; }, "leave holes"},
    {"overlap",
     [](Builder& b) {
       b.tensors = 2, b.data = 64;
       b.infos += Builder::Info("b", {4, 2}, 0, 0);
     },
     "must not overlap"},
    {"duplicate_tensor",
     [](Builder& b) {
       b.tensors = 2, b.data = 64;
       b.infos += Builder::Info("a", {4, 2}, 0, 32);
     },
     "duplicate tensor 'a'"},
    {"truncated", [](Builder& b) { b.data = 31; }, "ends beyond the file's"},
    {"trailing", [](Builder& b) { b.data = 65; }, "follow the last tensor"},
};

class GgufFaultTest : public ::testing::TestWithParam<Fault> {};

TEST_P(GgufFaultTest, IsRefusedByName) {
  Builder builder;
  GetParam().spoil(builder);
  const std::string bytes = builder.Build();
  auto file = Parse(bytes);
  ASSERT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(file.status().message(), HasSubstr(GetParam().message));
  EXPECT_THAT(file.status().message(), ::testing::StartsWith("x: "));
  EXPECT_LT(file.status().message().size(), 400u);
}

INSTANTIATE_TEST_SUITE_P(Rules, GgufFaultTest, ::testing::ValuesIn(kFaults),
                         [](const auto& info) { return info.param.name; });

TEST(GgufTest, AbsentFileIsNotFound) {
  EXPECT_EQ(GgufFile::Open("/no/such.gguf").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace attnd
