// Every tiny encoder of tests/golden against the reference outputs of Hugging Face transformers.
#include "tests/golden/golden.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "core/engine/engine.h"
#include "tests/core/engine/engine_testing.h"
#include "tests/golden/encoders.h"

namespace attnd {
namespace {

constexpr float kTolerance = 2e-4f;

class GoldenFolderTest : public ::testing::TestWithParam<const char*> {
 protected:
  GoldenFolderTest() : folder_(golden::Folder(GetParam())), cases_(folder_ + "/golden"), model_(LoadModel(folder_)) {
    if (model_ == nullptr) throw std::runtime_error(folder_ + " did not load");
  }

  const ModelConfig& config() const { return model_->config; }
  size_t LogitRows(size_t tokens) const { return config().task == Task::kClassify ? 1 : tokens; }
  // Case i as a job without outputs; it points into ids_ and types_.
  SequenceJob Job(size_t i) {
    ids_ = cases_.Ints(i, "ids");
    types_ = cases_.Ints(i, "type_ids");
    return {.ids = ids_, .type_ids = types_};
  }

  const std::string folder_;
  const golden::Cases cases_;
  const std::unique_ptr<Model> model_;
  std::vector<int32_t> ids_, types_;
  WorkTeam team_{2};
};

TEST_P(GoldenFolderTest, HiddenLogitsAndAttentionsAreThoseOfTransformers) {
  Engine engine(*model_, team_);
  ASSERT_EQ(cases_.size(), 6u);
  for (size_t i = 0; i < cases_.size(); ++i) {
    SequenceJob job = Job(i);
    const int tokens = static_cast<int>(ids_.size());
    std::vector<float> hidden(size_t{1} * tokens * config().hidden_size);
    std::vector<float> logits(LogitRows(tokens) * config().logit_columns());
    Keep keep(config().layers, config().heads, tokens);
    job.sink = &keep;
    job.last_hidden = hidden.data();
    job.logits = logits.empty() ? nullptr : logits.data();
    ASSERT_TRUE(Engine::Check(config(), job.ids, job.type_ids).ok());
    ASSERT_TRUE(engine.Run({&job, 1}, kAlways).ok());
    EXPECT_LT(LargestDifference(hidden, cases_.Floats(i, "hidden")), kTolerance);
    EXPECT_LT(LargestDifference(keep.maps, cases_.Floats(i, "attentions")), kTolerance);
    if (!logits.empty()) {
      EXPECT_LT(LargestDifference(logits, cases_.Floats(i, "logits")), kTolerance);
    }
  }
}

// Without the hidden states only the rows that the head reads leave the last layer.
TEST_P(GoldenFolderTest, LogitsAloneAreTheSame) {
  if (config().task == Task::kEmbed) return;  // has no logits
  Engine engine(*model_, team_);
  for (size_t i = 0; i < cases_.size(); ++i) {
    SequenceJob job = Job(i);
    const std::vector<float> expected = cases_.Floats(i, "logits");
    std::vector<float> logits(expected.size());
    job.logits = logits.data();
    ASSERT_TRUE(engine.Run({&job, 1}, kAlways).ok());
    EXPECT_LT(LargestDifference(logits, expected), kTolerance);
    if (config().task != Task::kFillMask) continue;
    // Chosen positions, in the order they are asked for.
    const std::vector<int32_t> positions = {3, 1, 3};
    std::vector<float> chosen(positions.size() * config().vocab_size);
    job.logits = chosen.data();
    job.logit_positions = positions;
    ASSERT_TRUE(engine.Run({&job, 1}, kAlways).ok());
    std::vector<float> rows;
    for (int32_t p : positions) {
      rows.insert(rows.end(), expected.begin() + p * config().vocab_size,
                  expected.begin() + (p + 1) * config().vocab_size);
    }
    EXPECT_LT(LargestDifference(chosen, rows), kTolerance);
  }
}

// All cases as one batch, each asking for something else, as when each runs alone.
TEST_P(GoldenFolderTest, BatchedIsSingle) {
  struct Outputs {
    std::vector<int32_t> ids, types;
    std::vector<float> embedding, hidden, logits;
    std::unique_ptr<Keep> keep;
  };
  std::vector<Outputs> alone(cases_.size()), together(cases_.size());
  std::vector<SequenceJob> jobs;
  Engine engine(*model_, team_);
  for (size_t i = 0; i < cases_.size(); ++i) {
    for (Outputs* to : {&alone[i], &together[i]}) {
      SequenceJob job = Job(i);
      to->ids = ids_;
      to->types = types_;
      job.ids = to->ids;
      job.type_ids = to->types;
      if (i % 3 == 0) to->embedding.resize(config().embedding_size);
      if (i % 4 == 1) to->hidden.resize(ids_.size() * config().hidden_size);
      if (i % 2 == 0) to->logits.resize(LogitRows(ids_.size()) * config().logit_columns());
      if (i % 3 == 2) to->keep = std::make_unique<Keep>(config().layers, config().heads, static_cast<int>(ids_.size()));
      job.embedding = to->embedding.empty() ? nullptr : to->embedding.data();
      job.last_hidden = to->hidden.empty() ? nullptr : to->hidden.data();
      job.logits = to->logits.empty() ? nullptr : to->logits.data();
      job.sink = to->keep.get();
      if (to == &together[i]) {
        jobs.push_back(job);
      } else {
        ASSERT_TRUE(engine.Run({&job, 1}, kAlways).ok());
      }
    }
  }
  ASSERT_TRUE(engine.Run(jobs, kAlways).ok());
  for (size_t i = 0; i < cases_.size(); ++i) {
    EXPECT_LT(LargestDifference(alone[i].embedding, together[i].embedding), 1e-5) << i;
    EXPECT_LT(LargestDifference(alone[i].hidden, together[i].hidden), 1e-5) << i;
    EXPECT_LT(LargestDifference(alone[i].logits, together[i].logits), 1e-5) << i;
    if (alone[i].keep != nullptr) {
      EXPECT_LT(LargestDifference(alone[i].keep->maps, together[i].keep->maps), 1e-5) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Encoders, GoldenFolderTest, ::testing::ValuesIn(golden::kEncoders));

}  // namespace
}  // namespace attnd
