#include "core/attention/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/attention/reference.h"

namespace attnd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Error(const AttentionSpec& spec, const AttentionInputs& inputs, absl::StatusCode code,
                  int64_t cap = kNoAttentionByteCap) {
  const auto plan = AttentionPlan::Make(spec, inputs, cap);
  EXPECT_EQ(plan.status().code(), code);
  return std::string(plan.status().message());
}

TEST(PlanTest, SizesAreThoseOfTheFormulas) {
  const std::vector<uint8_t> special(512, 0);
  const std::vector<int32_t> words(512, 0);
  const AttentionInputs inputs{12, 12, 512, special, words};
  constexpr int64_t kMiB = 1 << 20;
  AttentionSpec spec;
  EXPECT_EQ((*AttentionPlan::Make(spec, inputs))->sizes().total(), 144 * kMiB);
  spec.dtype = AttentionDtype::kF16;
  EXPECT_EQ((*AttentionPlan::Make(spec, inputs))->sizes().total(), 72 * kMiB);
  spec.dtype = AttentionDtype::kU8;
  EXPECT_EQ((*AttentionPlan::Make(spec, inputs))->sizes().data, 36 * kMiB + 144 * 512 * 4);
  spec.layout = AttentionLayout::kTopK;
  spec.top_k = 8;
  EXPECT_EQ((*AttentionPlan::Make(spec, inputs))->sizes().data, 144 * 512 * (8 + 16 + 8));

  AttentionSpec statistics;
  statistics.maps = false;
  statistics.statistics = kStatAll;
  EXPECT_EQ((*AttentionPlan::Make(statistics, inputs))->sizes().statistics, 144 * (2 * 512 + 9) * 4);
  EXPECT_TRUE((*AttentionPlan::Make(statistics, inputs))->maps().empty());
}

TEST(PlanTest, TheCapNamesTheEstimateAndTheLimit) {
  const std::vector<uint8_t> special(512, 0);
  const std::vector<int32_t> words(512, 0);
  const AttentionInputs inputs{12, 12, 512, special, words};
  AttentionSpec spec;
  EXPECT_TRUE(AttentionPlan::Make(spec, inputs, 144 << 20).ok());
  EXPECT_EQ(
      Error(spec, inputs, absl::StatusCode::kResourceExhausted, 64 << 20),
      "attention: the maps need 144.0 MiB, the limit is 64.0 MiB (select fewer layers or heads, or use top-k, u8 or a "
      "reduction)");
  EXPECT_THAT(Error(spec, inputs, absl::StatusCode::kResourceExhausted, (144 << 20) - 1), HasSubstr("need 144.0 MiB"));
  spec.reduce = AttentionReduce::kRollout;  // 12 layers and twice the rows of work space
  EXPECT_THAT(Error(spec, inputs, absl::StatusCode::kResourceExhausted, 1000),
              HasSubstr("need 15.1 MiB (14.1 MiB of it work space)"));
  spec.maps = false;
  spec.statistics = kStatMeanEntropy;
  EXPECT_THAT(Error(spec, inputs, absl::StatusCode::kResourceExhausted, 100), HasSubstr("the statistics need 0.6 KiB"));
}

TEST(PlanTest, LabelsKeepTheModelsNumbers) {
  RandomSequence sequence(6, 4, 20, 1);
  AttentionSpec spec;
  spec.selection = *HeadSelection::Parse("L5H2 L3H1 L3H0", 6, 4);
  EXPECT_THAT((*AttentionPlan::Make(spec, sequence.Inputs()))->maps(),
              ElementsAre(LayerHead{3, 0}, LayerHead{3, 1}, LayerHead{5, 2}));
  spec.reduce = AttentionReduce::kHeadMax;
  EXPECT_THAT((*AttentionPlan::Make(spec, sequence.Inputs()))->maps(), ElementsAre(LayerHead{3, -1}, LayerHead{5, -1}));
  spec.reduce = AttentionReduce::kRollout;
  EXPECT_THAT((*AttentionPlan::Make(spec, sequence.Inputs()))->maps(), ElementsAre(LayerHead{-1, -1}));
}

TEST(PlanTest, RowsAndColumnsNameTheirTokens) {
  // [CLS] un ##believ ##able ! [SEP]
  const std::vector<uint8_t> special = {1, 0, 0, 0, 0, 1};
  const std::vector<int32_t> words = {-1, 0, 0, 0, 1, -1};
  const AttentionInputs inputs{1, 1, 6, special, words};
  AttentionSpec spec;
  spec.word_level = true;
  const auto words_plan = *AttentionPlan::Make(spec, inputs);
  EXPECT_THAT(words_plan->row_tokens(),
              ElementsAre(TokenSpan{0, 1}, TokenSpan{1, 4}, TokenSpan{4, 5}, TokenSpan{5, 6}));
  spec.special = SpecialTokens::kDrop;
  spec.queries = {2, 3};  // one piece takes its whole word along
  spec.keys = {3, -1};
  const auto range_plan = *AttentionPlan::Make(spec, inputs);
  EXPECT_THAT(range_plan->row_tokens(), ElementsAre(TokenSpan{1, 4}));
  EXPECT_THAT(range_plan->column_tokens(), ElementsAre(TokenSpan{1, 4}, TokenSpan{4, 5}));
  spec.word_level = false;
  const auto token_plan = *AttentionPlan::Make(spec, inputs);
  EXPECT_THAT(token_plan->row_tokens(), ElementsAre(TokenSpan{2, 3}));
  EXPECT_THAT(token_plan->column_tokens(), ElementsAre(TokenSpan{3, 4}, TokenSpan{4, 5}));
}

TEST(PlanTest, SectionsLieEndToEndAtMultiplesOfFour) {
  RandomSequence sequence(1, 3, 7, 1);
  for (const AttentionLayout layout : {AttentionLayout::kDense, AttentionLayout::kTopK}) {
    for (const AttentionDtype dtype : {AttentionDtype::kF32, AttentionDtype::kF16, AttentionDtype::kU8}) {
      AttentionSpec spec;
      spec.layout = layout;
      spec.dtype = dtype;
      spec.top_k = 3;
      const auto plan = *AttentionPlan::Make(spec, sequence.Inputs());
      int64_t end = 0;
      for (const AttentionSection& section :
           {plan->layout().scales, plan->layout().residuals, plan->layout().values, plan->layout().indices}) {
        EXPECT_EQ(section.offset, end);
        end += (section.bytes + 3) / 4 * 4;
      }
      EXPECT_EQ(end, plan->sizes().data);
    }
  }
}

TEST(PlanTest, RefusesNamingTheFieldAndTheLimit) {
  RandomSequence sequence(2, 2, 10, 1);
  const AttentionInputs inputs = sequence.Inputs();
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  AttentionSpec spec;
  spec.layout = AttentionLayout::kTopK;
  spec.top_k = 0;
  EXPECT_EQ(Error(spec, inputs, kInvalid), "top_k: 0: at least 1");
  spec.top_k = -3;
  EXPECT_EQ(Error(spec, inputs, kInvalid), "top_k: -3: at least 1");

  spec = {};
  spec.queries = {10, 12};
  EXPECT_EQ(Error(spec, inputs, kInvalid), "queries: the range [10, 12) is empty: the sequence has 10 tokens");
  spec = {};
  spec.keys = {-1, std::nullopt};
  spec.special = SpecialTokens::kDrop;
  EXPECT_EQ(Error(spec, inputs, kInvalid),
            "keys: the range [9, 10) of 10 tokens holds only special tokens, which are left out");
  spec = {};
  spec.statistics = 1u << 20;
  EXPECT_THAT(Error(spec, inputs, kInvalid), HasSubstr("statistics"));
  spec = {};
  spec.selection = HeadSelection::All(3, 2);
  EXPECT_THAT(Error(spec, inputs, kInvalid), HasSubstr("made for 3 layers of 2 heads, the model has 2 of 2"));

  AttentionInputs wrong = inputs;
  wrong.tokens = 9;
  EXPECT_THAT(Error({}, wrong, kInvalid), HasSubstr("9 tokens, but 10 special flags and 10 word ids"));
  wrong = inputs;
  wrong.layers = 0;
  EXPECT_THAT(Error({}, wrong, kInvalid), HasSubstr("0 layers"));
  EXPECT_THAT(Error({}, {2, 2, 0, {}, {}}, kInvalid), HasSubstr("0 tokens: at least 1"));
}

TEST(PlanTest, TheLargestPlanDoesNotOverflow) {
  const std::vector<uint8_t> special(1 << 20, 0);
  const std::vector<int32_t> words(1 << 20, 0);
  AttentionSpec spec;
  spec.statistics = kStatAll;
  const auto plan = AttentionPlan::Make(spec, {1 << 9, 1 << 9, 1 << 20, special, words}, 1 << 20);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace attnd
