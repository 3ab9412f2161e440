#include "core/weights/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/weights/safetensors.h"

namespace attnd {
namespace {

// The value that IEEE 754 gives a half, in double arithmetic.
double HalfValue(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const double fraction = (bits & 0x3ff) / 1024.0;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

template <typename T>
std::vector<float> Convert(DType dtype, const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T) + 1);
  std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(T));  // unaligned on purpose
  std::vector<float> result(values.size());
  ConvertToF32(dtype, bytes.data() + 1, values.size(), result.data());
  return result;
}

TEST(DTypeTest, EveryHalfConverts) {
  std::vector<uint16_t> halves(1 << 16);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  const std::vector<float> floats = Convert(DType::kF16, halves);
  for (size_t i = 0; i < halves.size(); ++i) {
    if ((i & 0x7c00) != 0x7c00) {
      ASSERT_EQ(floats[i], static_cast<float>(HalfValue(halves[i]))) << i;
    } else if ((i & 0x3ff) == 0) {
      ASSERT_TRUE(std::isinf(floats[i])) << i;
    } else {
      ASSERT_TRUE(std::isnan(floats[i])) << i;
    }
    ASSERT_EQ(std::signbit(floats[i]), (i & 0x8000) != 0) << i;
  }
}

TEST(DTypeTest, BFloat16IsTheUpperHalfOfAFloat) {
  const std::vector<float> values = {0.0f, -0.0f, 1.0f, -2.5f, 0x1p-130f, 0x1p127f};
  std::vector<uint16_t> halves;
  halves.reserve(values.size());
  for (float value : values) halves.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
  EXPECT_EQ(Convert(DType::kBF16, halves), values);
}

TEST(DTypeTest, DoublesRoundAndFloatsCopy) {
  EXPECT_EQ(Convert(DType::kF64, std::vector<double>{0.1, -1e300, 3}),
            (std::vector<float>{0.1f, -std::numeric_limits<float>::infinity(), 3}));
  EXPECT_EQ(Convert(DType::kF32, std::vector<float>{0.1f, -7}), (std::vector<float>{0.1f, -7}));
}

TEST(DTypeTest, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(DType::kBool); ++i) {
    const DType dtype = static_cast<DType>(i);
    EXPECT_EQ(DTypeFromName(DTypeName(dtype)), dtype);
    EXPECT_GE(DTypeSize(dtype), 1);
  }
  EXPECT_EQ(DTypeFromName("F31"), std::nullopt);
  EXPECT_EQ(DTypeSize(DType::kBF16), 2);
}

// More elements than one chunk of the reader.
TEST(DTypeTest, LongTensorsConvertThroughTheFile) {
  constexpr size_t kCount = 100'003;
  const std::string header =
      absl::StrCat(R"({"a":{"dtype":"BF16","shape":[)", kCount, R"(],"data_offsets":[0,)", 2 * kCount, "]}}");
  std::string file(8 + header.size() + 2 * kCount, '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  for (size_t i = 0; i < kCount; ++i) {
    const uint16_t bits = std::bit_cast<uint32_t>(static_cast<float>(i % 256)) >> 16;
    std::memcpy(file.data() + 8 + header.size() + 2 * i, &bits, 2);
  }
  auto parsed =
      SafetensorsFile::Parse(absl::MakeConstSpan(reinterpret_cast<const std::byte*>(file.data()), file.size()), "x");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  auto values = (*parsed)->ReadF32("a", {-1});
  ASSERT_TRUE(values.ok()) << values.status();
  for (size_t i = 0; i < kCount; ++i) ASSERT_EQ((*values)[i], static_cast<float>(i % 256)) << i;
}

}  // namespace
}  // namespace attnd
