#include "core/weights/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ostream>

#include "absl/strings/str_cat.h"
#include "core/weights/safetensors_header.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A file: the header's length, the header, `data` bytes counting up.
std::string FileOf(const std::string& header, size_t data) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  file += header;
  for (size_t i = 0; i < data; ++i) file += static_cast<char>(i);
  return file;
}

absl::StatusOr<std::unique_ptr<SafetensorsFile>> Parse(const std::string& file) {
  return SafetensorsFile::Parse(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(file.data()), file.size()), "x");
}

std::string Tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return absl::StrCat(R"({"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)", offsets, "}");
}

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content) {
    path_ = (std::filesystem::temp_directory_path() / "attnd-safetensors-XXXXXX").string();
    close(mkstemp(path_.data()));
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(SafetensorsTest, ReadsTensorsInAnyOrderOfTheHeader) {
  const std::string file =
      FileOf(absl::StrCat(R"({"b":)", Tensor("I32", "[2]", "[4,12]"), R"(,"__metadata__":{"format":"pt"},"a":)",
                          Tensor("U8", "[2,2]", "[0,4]"), R"(,"empty":)", Tensor("F32", "[0,7]", "[4,4]"), "}   "),
             12);
  auto parsed = Parse(file);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ((*parsed)->tensors().size(), 3u);
  ASSERT_NE((*parsed)->Find("a"), nullptr);
  EXPECT_EQ((*parsed)->Find("a")->dtype, DType::kU8);
  EXPECT_THAT((*parsed)->Find("a")->shape, ElementsAre(2, 2));
  EXPECT_EQ((*parsed)->Find("a")->elements(), 4);
  EXPECT_EQ((*parsed)->Find("c"), nullptr);
  ASSERT_NE((*parsed)->Find("b"), nullptr);
  EXPECT_EQ((*parsed)->Find("b")->dtype, DType::kI32);
  auto empty = (*parsed)->ReadF32("empty", {-1, 7});
  ASSERT_TRUE(empty.ok()) << empty.status();
  EXPECT_TRUE(empty->empty());
}

TEST(SafetensorsTest, ReadsAFileWithoutTensors) {
  auto parsed = Parse(FileOf("{}", 0));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE((*parsed)->tensors().empty());
}

struct Fault {
  const char* what;
  std::string file;
  const char* message;
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.what; }

std::vector<Fault> Faults() {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets, size_t data) {
    return FileOf(absl::StrCat(R"({"a":)", Tensor(dtype, shape, offsets), "}"), data);
  };
  const auto two = [](const std::string& first, const std::string& second, size_t data) {
    return FileOf(absl::StrCat(R"({"a":)", Tensor("U8", "[4]", first), R"(,"b":)", Tensor("U8", "[4]", second), "}"),
                  data);
  };
  const std::string good = Tensor("U8", "[4]", "[0,4]");
  std::string huge = FileOf("{}", 0);
  std::memset(huge.data(), 0xff, 8);
  std::string beyond = FileOf("{}", 0);
  beyond[0] = 3;
  std::string above = FileOf("{}", 0);
  const uint64_t length = kSafetensorsHeaderBytesMax + 1;
  std::memcpy(above.data(), &length, 8);
  std::string many = "{";
  for (size_t i = 0; i <= kSafetensorsTensorsMax; ++i) {
    absl::StrAppend(&many, i == 0 ? "" : ",", "\"", i, "\":", Tensor("U8", "[0]", "[0,0]"));
  }
  std::string metadata = R"({"__metadata__":{)";
  for (size_t i = 0; i <= kSafetensorsMetadataMax; ++i)
    absl::StrAppend(&metadata, i == 0 ? "" : ",", "\"", i, "\":\"\"");
  return {
      {"Empty", "", "0 bytes are too few"},
      {"Short", "1234567", "7 bytes are too few"},
      {"HugeHeader", huge, "header length 18446744073709551615 is above the limit of 100000000"},
      {"HeaderAboveLimit", above, "header length 100000001 is above the limit"},
      {"HeaderBeyondFile", beyond, "header length 3 is beyond the file's 10 bytes"},
      {"LfsPointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"},
      {"EmptyHeader", FileOf("", 0), "does not start with '{'"},
      {"LeadingSpace", FileOf(" {}", 0), "does not start with '{'"},
      {"ByteOrderMark", FileOf("\xef\xbb\xbf{}", 0), "does not start with '{'"},
      {"Array", FileOf("[]", 0), "does not start with '{'"},
      {"NotJson", FileOf("{,}", 0), "not valid JSON"},
      {"Unclosed", FileOf("{\"a\":" + good + ",{}", 4), "not valid JSON"},
      {"InvalidUtf8", FileOf("{\"\xff\":" + good + "}", 4), "not valid JSON in UTF-8"},
      {"OverlongUtf8", FileOf("{\"\xc0\xaf\":" + good + "}", 4), "not valid JSON in UTF-8"},
      {"TrailingNewline", FileOf("{}\n", 0), "followed by something else than spaces"},
      {"TrailingNul", FileOf(std::string("{}\0", 3), 0), "NUL"},
      {"NulThenBrace", FileOf(std::string("{}\0}", 4), 0), "NUL"},
      {"TrailingObject", FileOf("{}{}", 0), "not valid JSON"},
      {"DuplicateTensor", FileOf("{\"a\":" + good + ",\"a\":" + good + "}", 4), "duplicate tensor 'a'"},
      {"DuplicateDType", FileOf(R"({"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4),
       "tensor 'a': duplicate key dtype"},
      {"DuplicateShape", FileOf(R"({"a":{"dtype":"U8","shape":[4],"shape":[4],"data_offsets":[0,4]}})", 4),
       "tensor 'a': duplicate key shape"},
      {"DuplicateOffsets", FileOf(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"data_offsets":[0,4]}})", 4),
       "tensor 'a': duplicate key data_offsets"},
      {"DuplicateMetadata", FileOf(R"({"__metadata__":{},"__metadata__":{}})", 0), "duplicate __metadata__"},
      {"DuplicateMetadataKey", FileOf(R"({"__metadata__":{"k":"1","k":"2"}})", 0), "__metadata__: duplicate key 'k'"},
      {"MetadataNumber", FileOf(R"({"__metadata__":{"k":1}})", 0), "__metadata__: a number"},
      {"MetadataDeep", FileOf(R"({"__metadata__":{"k":{"l":"1"}}})", 0), "__metadata__: an object"},
      {"MetadataMany", FileOf(metadata + "}}", 0), "__metadata__ has more than 4096 entries"},
      {"NoDType", FileOf(R"({"a":{"shape":[4],"data_offsets":[0,4]}})", 4), "tensor 'a': dtype is missing"},
      {"NoShape", FileOf(R"({"a":{"dtype":"U8","data_offsets":[0,4]}})", 4), "tensor 'a': shape is missing"},
      {"NoOffsets", FileOf(R"({"a":{"dtype":"U8","shape":[4]}})", 4), "tensor 'a': data_offsets is missing"},
      {"UnknownKey", FileOf(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"extra":1}})", 4),
       "unknown key 'extra'"},
      {"UnknownDType", one("F12", "[4]", "[0,4]", 4), "unknown dtype 'F12'"},
      {"LowerCaseDType", one("f32", "[1]", "[0,4]", 4), "unknown dtype 'f32'"},
      {"DTypeNumber", FileOf(R"({"a":{"dtype":1,"shape":[4],"data_offsets":[0,4]}})", 4), "tensor 'a': a number"},
      {"TensorNull", FileOf(R"({"a":null})", 0), "tensor 'a': null"},
      {"TensorArray", FileOf(R"({"a":[0,4]})", 4), "tensor 'a': an array"},
      {"ShapeObject", one("U8", "{}", "[0,4]", 4), "tensor 'a': an object"},
      {"ShapeNested", one("U8", "[[4]]", "[0,4]", 4), "tensor 'a': an array"},
      {"ShapeNegative", one("U8", "[-4]", "[0,4]", 4), "tensor 'a': a negative number"},
      {"ShapeFloat", one("U8", "[4.0]", "[0,4]", 4), "not an integer"},
      {"ShapeString", one("U8", "[\"4\"]", "[0,4]", 4), "tensor 'a': a string"},
      {"ShapeBoolean", one("U8", "[true]", "[0,4]", 4), "tensor 'a': a boolean"},
      {"ShapeAboveInt64", one("U8", "[9223372036854775808]", "[0,0]", 0), "shape overflows"},
      {"ShapeAboveUint64", one("U8", "[18446744073709551616]", "[0,0]", 0), "not an integer below 2^64"},
      {"ShapeOverflows", one("U8", "[4294967296,4294967296]", "[0,0]", 0), "shape [4294967296, 4294967296] overflows"},
      {"ShapeTimesSizeOverflows", one("F64", "[4611686018427387904]", "[0,0]", 0), "overflows"},
      {"RankAbsurd", one("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]", 1), "more than 8 dimensions"},
      {"SizeTooSmall", one("F32", "[2]", "[0,4]", 4), "span 4 bytes, shape [2] of F32 has 8"},
      {"SizeTooLarge", one("F32", "[]", "[0,8]", 8), "span 8 bytes, shape [] of F32 has 4"},
      {"OffsetsBackward", one("U8", "[4]", "[4,0]", 4), "end before they begin"},
      {"OffsetsOne", one("U8", "[4]", "[0]", 4), "must hold two numbers"},
      {"OffsetsThree", one("U8", "[4]", "[0,4,4]", 4), "must hold two numbers"},
      {"OffsetsNegative", one("U8", "[4]", "[-1,3]", 4), "a negative number"},
      {"OffsetsWrap", one("U8", "[4]", "[18446744073709551611,18446744073709551615]", 4), "end beyond the file"},
      {"BeginsLate", one("U8", "[4]", "[1,5]", 5), "tensor 'a': data_offsets leave a hole before it"},
      {"Hole", two("[0,4]", "[5,9]", 9), "tensor 'b': data_offsets leave a hole before it"},
      {"Overlap", two("[0,4]", "[3,7]", 7), "tensor 'b': data_offsets leave an overlap before it"},
      {"SameBytes", two("[0,4]", "[0,4]", 4), "leave an overlap"},
      {"Truncated", two("[0,4]", "[4,8]", 7), "tensor 'b': data_offsets end beyond the file"},
      {"BytesLeftOver", two("[0,4]", "[4,8]", 10), "2 bytes after the last tensor belong to none"},
      {"ManyTensors", FileOf(many + "}", 0), "more than 131072 tensors"},
      {"Deep", FileOf("{\"a\":" + std::string(1 << 20, '[') + "}", 0), "tensor 'a': an array"},
  };
}

class SafetensorsFaultTest : public ::testing::TestWithParam<Fault> {};

TEST_P(SafetensorsFaultTest, IsRefusedByName) {
  auto parsed = Parse(GetParam().file);
  ASSERT_FALSE(parsed.ok());
  EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(GetParam().message));
  EXPECT_THAT(std::string(parsed.status().message()), ::testing::StartsWith("x: "));
  EXPECT_LT(parsed.status().message().size(), 600u);

  const TemporaryFile file(GetParam().file);
  auto opened = SafetensorsFile::Open(file.path());
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Rules, SafetensorsFaultTest, ::testing::ValuesIn(Faults()),
                         [](const auto& info) { return std::string(info.param.what); });

TEST(SafetensorsTest, ErrorsStayShortAndPrintable) {
  auto parsed = Parse(FileOf("{\"" + std::string(1 << 16, 'n') + "\":3}", 0));
  ASSERT_FALSE(parsed.ok());
  EXPECT_LT(parsed.status().message().size(), 200u);
  auto unicode = Parse(FileOf("{\"n\\u00e4\\u0007\":3}", 0));
  EXPECT_THAT(std::string(unicode.status().message()), HasSubstr("tensor 'n\\xc3\\xa4\\x07': a number"));
  // An error may hold two names, each escaped: found by fuzzing.
  std::string bells;
  for (int i = 0; i < 200; ++i) bells += "\\u0007";
  auto escaped = Parse(FileOf(absl::StrCat("{\"", bells, "\":{\"", bells, "\":1}}"), 0));
  ASSERT_FALSE(escaped.ok());
  EXPECT_LT(escaped.status().message().size(), 250u);
  EXPECT_THAT(std::string(escaped.status().message()), ::testing::EndsWith("\\x07...'"));
}

TEST(SafetensorsTest, ReadingChecksShapeAndDType) {
  const std::string file = FileOf(
      absl::StrCat(R"({"a":)", Tensor("F32", "[2,1]", "[0,8]"), R"(,"i":)", Tensor("I32", "[1]", "[8,12]"), "}"), 12);
  auto parsed = Parse(file);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_TRUE((*parsed)->ReadF32("a", {2, 1}).ok());
  EXPECT_EQ((*parsed)->ReadF32("a", {1, 2}).status().message(), "x: tensor 'a' has shape [2, 1], expected [1, 2]");
  EXPECT_EQ((*parsed)->ReadF32("a", {-1, 2}).status().message(), "x: tensor 'a' has shape [2, 1], expected [any, 2]");
  EXPECT_EQ((*parsed)->ReadF32("a", {2}).status().message(), "x: tensor 'a' has shape [2, 1], expected [2]");
  EXPECT_EQ((*parsed)->ReadF32("b", {2}).status().message(), "x: tensor 'b' is missing");
  EXPECT_EQ((*parsed)->ReadF32("i", {1}).status().message(),
            "x: tensor 'i' has dtype I32, expected F32, F16, BF16 or F64");
}

TEST(SafetensorsTest, OpenNamesWhatIsNoFile) {
  EXPECT_EQ(SafetensorsFile::Open("/nonexistent/model.safetensors").status().code(), absl::StatusCode::kNotFound);
  auto folder = SafetensorsFile::Open(std::filesystem::temp_directory_path().string());
  EXPECT_THAT(std::string(folder.status().message()), HasSubstr("not a regular file"));
}

TEST(SafetensorsTest, AFileThatShrinksOrChangesIsAnErrorAndNoSignal) {
  const std::string content = FileOf(absl::StrCat(R"({"a":)", Tensor("F32", "[65536]", "[0,262144]"), "}"), 262144);
  const TemporaryFile file(content);
  auto opened = SafetensorsFile::Open(file.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE((*opened)->ReadF32("a", {65536}).ok());

  std::filesystem::resize_file(file.path(), 4096);
  auto shrunk = (*opened)->ReadF32("a", {65536});
  EXPECT_EQ(shrunk.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(shrunk.status().message()), HasSubstr("the file shrank while it was read"));

  std::ofstream(file.path(), std::ios::binary) << content << "more";
  auto grown = (*opened)->ReadF32("a", {65536});
  EXPECT_EQ(grown.status().code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(grown.status().message()), HasSubstr("the file changed while it was read"));
}

TEST(SafetensorsTest, OpensTheGoldenModels) {
  for (const char* name : {"bert", "bert-classify", "bert-token", "bert-mlm"}) {
    for (const char* part : {"model", "golden"}) {
      auto file =
          SafetensorsFile::Open(absl::StrCat(ATTND_SOURCE_DIR "/tests/golden/", name, "/", part, ".safetensors"));
      ASSERT_TRUE(file.ok()) << file.status();
      EXPECT_GT((*file)->tensors().size(), 10u);
      for (const auto& [tensor, info] : (*file)->tensors()) {
        if (info.dtype == DType::kF32) {
          auto values = (*file)->ReadF32(tensor, info.shape);
          ASSERT_TRUE(values.ok()) << values.status();
          for (float value : *values) ASSERT_TRUE(std::isfinite(value)) << tensor;
        }
      }
    }
  }
}

}  // namespace
}  // namespace attnd
