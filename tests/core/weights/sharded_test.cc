#include "core/weights/sharded.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ShardedTest : public ::testing::Test {
 protected:
  ShardedTest() { std::filesystem::create_directories(folder_); }
  ~ShardedTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
  }
  // A part that holds one tensor, [1] of `value`.
  void WritePart(const std::string& name, const std::string& tensor, float value) {
    const std::string header = absl::StrCat("{\"", tensor, R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})");
    const uint64_t length = header.size();
    Write(name, std::string(reinterpret_cast<const char*>(&length), 8) + header +
                    std::string(reinterpret_cast<const char*>(&value), 4));
  }
  absl::Status Fault(const std::string& index) {
    Write("model.safetensors.index.json", index);
    return OpenCheckpoint(folder_.string()).status();
  }

  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / absl::StrCat("attnd-sharded-", getpid());
};

TEST_F(ShardedTest, ReadsEachTensorFromItsPart) {
  WritePart("a.safetensors", "x", 1.5f);
  WritePart("b.safetensors", "y", 2.5f);
  Write("model.safetensors.index.json",
        R"({"metadata":{"total_size":8},"weight_map":{"x":"a.safetensors","y":"b.safetensors"}})");
  auto source = OpenCheckpoint(folder_.string());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT((*source)->ReadF32("x", {1}).value(), ElementsAre(1.5f));
  EXPECT_THAT((*source)->ReadF32("y", {1}).value(), ElementsAre(2.5f));
  EXPECT_FALSE((*source)->Contains("z"));
  EXPECT_THAT((*source)->ReadF32("z", {1}).status().message(), HasSubstr("index.json: tensor 'z' is missing"));
  EXPECT_THAT((*source)->ReadF32("y", {2}).status().message(), HasSubstr("b.safetensors: tensor 'y' has shape [1]"));
}

TEST_F(ShardedTest, OneFileGoesFirst) {
  WritePart("model.safetensors", "x", 3.5f);
  Write("model.safetensors.index.json", "{}");
  auto source = OpenCheckpoint(folder_.string());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT((*source)->ReadF32("x", {1}).value(), ElementsAre(3.5f));
}

TEST_F(ShardedTest, FaultsAreRefusedByName) {
  WritePart("a.safetensors", "x", 1);
  EXPECT_THAT(Fault("").message(), HasSubstr("not a JSON object with a weight_map"));
  EXPECT_THAT(Fault("[]").message(), HasSubstr("not a JSON object with a weight_map"));
  EXPECT_THAT(Fault(R"({"weight_map":[]})").message(), HasSubstr("not a JSON object with a weight_map"));
  EXPECT_THAT(Fault(std::string(100000, '[')).message(), HasSubstr("not a JSON object with a weight_map"));
  EXPECT_THAT(Fault(R"({"weight_map":{"x":1}})").message(), HasSubstr("'x' is not the name of a file"));
  EXPECT_THAT(Fault(R"({"weight_map":{"x":"../a.safetensors"}})").message(), HasSubstr("of the same folder"));
  EXPECT_THAT(Fault(R"({"weight_map":{"x":"/etc/a.safetensors"}})").message(), HasSubstr("of the same folder"));
  EXPECT_THAT(Fault(R"({"weight_map":{"x":"a.bin"}})").message(), HasSubstr("of the same folder"));
  EXPECT_THAT(Fault(R"({"weight_map":{"x":"b.safetensors"}})").message(), HasSubstr("part 'b.safetensors' is missing"));
  EXPECT_THAT(Fault(R"({"weight_map":{"y":"a.safetensors"}})").message(),
              HasSubstr("a.safetensors: tensor 'y' is missing"));
}

TEST_F(ShardedTest, PickleAloneIsRefusedWithTheWayOut) {
  EXPECT_EQ(OpenCheckpoint(folder_.string()).status().code(), absl::StatusCode::kNotFound);
  Write("pytorch_model.bin", "x");
  const absl::Status status = OpenCheckpoint(folder_.string()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("a pickle runs code"));
  EXPECT_THAT(status.message(), HasSubstr("safe_serialization=True"));
}

}  // namespace
}  // namespace attnd
