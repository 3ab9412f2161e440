// A decoder whose file has weights of 8 or 16 bits keeps those in f32, and answers as with f32's own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/ops/block_kernel.h"
#include "core/ops/quantize.h"
#include "tests/golden/decoder_golden.h"

namespace attnd {
namespace {

// A checkpoint whose tensors went through a file of fewer bits.
class CoarseSource : public TensorSource {
 public:
  using Coarsen = std::function<void(std::vector<float>&)>;
  CoarseSource(const TensorSource& source, Coarsen coarsen) : source_(source), coarsen_(std::move(coarsen)) {}
  const std::string& name() const override { return source_.name(); }
  bool Contains(std::string_view tensor) const override { return source_.Contains(tensor); }
  absl::StatusOr<std::vector<float>> ReadF32(std::string_view tensor, absl::Span<const int64_t> shape) const override {
    auto values = source_.ReadF32(tensor, shape);
    if (values.ok()) coarsen_(*values);
    return values;
  }

 private:
  const TensorSource& source_;
  const Coarsen coarsen_;
};

void ToBf16Values(std::vector<float>& values) {
  for (float& x : values) x = FromBf16(ToBf16(x));
}

// As ggml's Q8_0 but for the scale, which it has in f16: here of 11 bits in any range.
void ToBytes(std::vector<float>& values) {
  for (size_t at = 0; at + kScaledInputs <= values.size(); at += kScaledInputs) {
    float largest = 0;
    for (int i = 0; i < kScaledInputs; ++i) largest = std::max(largest, std::abs(values[at + i]));
    if (largest == 0) continue;
    const int exponent = std::ilogb(largest / 127) - 10;
    const float scale = std::ldexp(std::ceil(std::ldexp(largest / 127, -exponent)), exponent);
    bool first = true;  // value of the largest magnitude
    for (int i = 0; i < kScaledInputs; ++i) {
      float& x = values[at + i];
      const bool is_largest = first && std::abs(x) == largest;
      x = scale * (is_largest ? std::copysign(127.0f, x) : std::nearbyint(x / scale));
      first = first && !is_largest;
    }
  }
}

TEST(CompactDecoderTest, AnswersAsWithF32InLessMemory) {
  const std::string folder = golden::Folder("llama");
  const DecoderConfig config = LoadDecoderConfig(folder).value();
  const auto source = OpenCheckpoint(folder).value();
  const auto plain = golden::LoadDecoder(folder);
  const bool bytes_stay = HasBlockKernel(UkernelData::kF32S8, BlockKernelColumns(), config.hidden_size);
  const std::vector<int32_t> ids = golden::Cases(folder + "/golden").Ints(0, "ids");
  WorkTeam team(2);
  for (const auto& [coarsen, share] :
       {std::pair<CoarseSource::Coarsen, double>{ToBf16Values, 0.8}, {ToBytes, bytes_stay ? 0.65 : 1.0}}) {
    const CoarseSource coarse(*source, coarsen);
    const auto compact = Decoder::Make(config, coarse, CheckpointNames::kHuggingFace).value();
    EXPECT_LE(static_cast<double>(compact->weight_bytes()), share * static_cast<double>(plain->weight_bytes()));
    ForceMatmulForTest(true);
    const auto expected = Decoder::Make(config, coarse, CheckpointNames::kHuggingFace).value();
    golden::Growing wide(*expected, KvType::kF32, 256);
    const std::vector<float> logits = wide.Step(team, ids, 0);
    ForceMatmulForTest(false);
    golden::Growing whole(*compact, KvType::kF32, 256), by_token(*compact, KvType::kF32, 256);
    EXPECT_LT(golden::LargestDifference(whole.Step(team, ids, 0), logits), 1e-4);
    std::vector<float> stepped;
    for (const int32_t& id : ids) {
      const std::vector<float> row = by_token.Step(team, {&id, 1}, 0);
      stepped.insert(stepped.end(), row.begin(), row.end());
    }
    EXPECT_LT(golden::LargestDifference(stepped, logits), 1e-4);
  }
}

}  // namespace
}  // namespace attnd
