// Models that share the workers, over random arrivals with an injected clock.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "server/batching/batcher.h"
#include "tests/server/batching/fake_item.h"

namespace attnd {
namespace {

class Models {
 public:
  explicit Models(int seed) : random_(seed), batcher_([this] { return now_; }) {
    for (int i = 0; i < kModels; ++i) {
      queues_.push_back(FakeQueue(
          {.max_batch_tokens = Uniform(64, 2048), .max_queue_tokens = 1 << 30, .max_queue_requests = 1 << 30}));
      longest_.push_back(8 << Uniform(0, 8));  // up to 2048
    }
  }

  // Texts of the model, about `tokens` together.
  void Arrive(int model, int64_t tokens) {
    std::vector<int> lengths;
    for (int64_t sum = 0; sum < tokens; sum += lengths.back()) lengths.push_back(Uniform(1, longest_[model]));
    calls_.push_back(std::make_unique<FakeCall>(*queues_[model], Uniform(1, 3), lengths));
    EXPECT_TRUE(batcher_.Submit(calls_.back()->ticket, calls_.back()->pointers).ok());
  }
  // Runs one batch; the model's number.
  int Run() {
    Batch batch;
    EXPECT_TRUE(batcher_.Next(batch));
    const auto model = std::find(queues_.begin(), queues_.end(), batch.queue) - queues_.begin();
    now_ += absl::Microseconds(batch.tokens * 10);
    served_[static_cast<int>(model)] += batch.tokens;
    FinishAll(batch.items, absl::OkStatus());
    return static_cast<int>(model);
  }
  bool Waits(int model) const { return batcher_.Stats(*queues_[static_cast<size_t>(model)]).requests > 0; }
  int64_t served(int model) { return served_[model]; }
  // What may lie between two models that both wait: one batch of each, and the largest have 2,048 tokens.
  static int64_t Slack() { return 2 * 2048; }
  int Uniform(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_); }

  static constexpr int kModels = 4;

 private:
  std::mt19937 random_;
  absl::Time now_ = kStart;
  Batcher batcher_;
  std::vector<std::shared_ptr<ModelQueue>> queues_;
  std::vector<int> longest_;  // tokens of a text
  std::vector<std::unique_ptr<FakeCall>> calls_;
  std::map<int, int64_t> served_;
};

// Whatever the sizes of texts and batches: over any stretch in which two models both wait, they get the same tokens,
// but for a batch of each.
TEST(ModelFairnessTest, ModelsThatWaitGetTheSameTokens) {
  for (int seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Models models(seed);
    for (int model = 0; model < Models::kModels; ++model) models.Arrive(model, 200000);
    for (int i = 0; i < 300; ++i) {
      models.Run();
      for (int model = 1; model < Models::kModels; ++model) {
        ASSERT_TRUE(models.Waits(model) && models.Waits(0));
        ASSERT_NEAR(static_cast<double>(models.served(model)), static_cast<double>(models.served(0)),
                    static_cast<double>(Models::Slack()));
      }
    }
  }
}

// One that was idle has saved nothing: it takes its share from when it comes, and does not hold the others up.
TEST(ModelFairnessTest, IdleTimeIsNoCredit) {
  for (int seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Models models(seed);
    models.Arrive(0, 400000);
    models.Arrive(1, 400000);
    for (int i = models.Uniform(1, 60); i > 0; --i) models.Run();
    const int64_t before[2] = {models.served(0), models.served(1)};
    models.Arrive(2, 200000);
    for (int i = 0; i < 100; ++i) {
      models.Run();
      for (int other = 0; other < 2; ++other) {
        ASSERT_TRUE(models.Waits(other) && models.Waits(2));
        ASSERT_NEAR(static_cast<double>(models.served(2)), static_cast<double>(models.served(other) - before[other]),
                    static_cast<double>(Models::Slack()));
      }
    }
  }
}

// A single text of a quiet model is the next to run, but for what its own last text had in advance.
TEST(ModelFairnessTest, AQuietModelIsServedSoon) {
  for (int seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Models models(seed);
    for (int model = 0; model < 3; ++model) models.Arrive(model, 400000);
    for (int round = 0; round < 10; ++round) {
      for (int i = models.Uniform(1, 10); i > 0; --i) models.Run();
      models.Arrive(3, 1);
      std::map<int, int64_t> waited;
      for (int model = 0; model < 3; ++model) waited[model] = -models.served(model);
      while (models.Run() != 3) continue;
      for (int model = 0; model < 3; ++model) ASSERT_LE(waited[model] + models.served(model), Models::Slack());
    }
  }
}

}  // namespace
}  // namespace attnd
