#include "server/batching/executor.h"

#include <gtest/gtest.h>

#include "server/batching/model_queue.h"
#include "tests/server/batching/fake_item.h"

namespace attnd {
namespace {

const std::string kModel = ATTND_SOURCE_DIR "/tests/golden/bert";

// A clock that a test moves.
struct FakeClock {
  absl::Time now = kStart;
  Batcher::Clock reader() {
    return [this] { return now; };
  }
};

class Task : public TaskItem {
 public:
  Task(CallTicket& ticket, std::function<absl::Status(absl::FunctionRef<bool()>)> compute)
      : TaskItem(10), compute_(std::move(compute)) {
    call = &ticket;
  }
  absl::Status Compute(WorkTeam::Session& team, absl::FunctionRef<bool()> keep_going) override {
    ran = team.lanes() > 0;
    return compute_(keep_going);
  }
  void Finish(const absl::Status& result) override {
    status = result;
    ++finishes;
  }
  bool ran = false;
  int finishes = 0;
  absl::Status status;

 private:
  const std::function<absl::Status(absl::FunctionRef<bool()>)> compute_;
};

absl::Status Succeed(absl::FunctionRef<bool()>) { return absl::OkStatus(); }

TEST(TaskExecutorTest, RunsReportsAndFinishesEachTaskOnce) {
  FakeClock clock;
  WorkTeam team(2);
  std::vector<BatchReport> reports;
  TaskExecutor executor(team, clock.reader(), [&](const BatchReport& report) { reports.push_back(report); });
  CallTicket ticket;
  Task good(ticket, [&](absl::FunctionRef<bool()> keep_going) {
    EXPECT_TRUE(keep_going());
    clock.now += absl::Milliseconds(3);
    return absl::OkStatus();
  });
  Task bad(ticket, [](absl::FunctionRef<bool()>) { return absl::InternalError("overflow"); });
  Batch batch{.tokens = 20, .items = {&good, &bad}};
  executor.Run(batch);
  EXPECT_EQ(good.finishes, 1);
  EXPECT_TRUE(good.status.ok());
  EXPECT_EQ(good.finished_at, kStart + absl::Milliseconds(3));
  EXPECT_EQ(bad.finishes, 1);
  EXPECT_EQ(bad.status.code(), absl::StatusCode::kInternal);
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[0].tokens, 10);
  EXPECT_EQ(reports[0].compute, absl::Milliseconds(3));
}

TEST(TaskExecutorTest, AbandonedTasksDoNotRun) {
  FakeClock clock;
  WorkTeam team(1);
  TaskExecutor executor(team, clock.reader(), nullptr);
  CallTicket cancelled, late, brief;
  cancelled.cancelled = true;
  late.deadline = kStart;
  brief.deadline = kStart + absl::Milliseconds(1);
  Task first(cancelled, Succeed), second(late, Succeed);
  Task third(brief, [&](absl::FunctionRef<bool()> keep_going) {
    clock.now += absl::Milliseconds(1);
    EXPECT_FALSE(keep_going());
    return absl::OkStatus();
  });
  Batch batch{.items = {&first, &second, &third}};
  executor.Run(batch);
  EXPECT_FALSE(first.ran);
  EXPECT_EQ(first.status.code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(second.ran);
  EXPECT_EQ(second.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(third.ran);
  EXPECT_EQ(third.status.code(), absl::StatusCode::kDeadlineExceeded);
}

class Sequence : public EncodeItem {
 public:
  Sequence(CallTicket& ticket, std::vector<int32_t> ids, int dimensions)
      : EncodeItem(static_cast<int>(ids.size())), embedding(dimensions), ids_(std::move(ids)) {
    call = &ticket;
  }
  SequenceJob Job() override { return {.ids = ids_, .embedding = embedding.data(), .normalize = true}; }
  void Finish(const absl::Status& result) override {
    status = result;
    ++finishes;
  }
  std::vector<float> embedding;
  int finishes = 0;
  absl::Status status;

 private:
  const std::vector<int32_t> ids_;
};

class EngineExecutorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = Model::Load(kModel);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    model_ = *std::move(loaded);
  }
  int dimensions() const { return model_->config.hidden_size; }

  std::shared_ptr<const Model> model_;
  WorkTeam team_{2};
  FakeClock clock_;
};

TEST_F(EngineExecutorTest, RunsABatchAndFinishesItsItems) {
  int64_t tokens = 0;
  EngineExecutor executor(model_, team_, clock_.reader(), [&](const BatchReport& report) { tokens += report.tokens; });
  CallTicket ticket;
  Sequence first(ticket, {2, 5, 6, 3}, dimensions()), second(ticket, {2, 7, 3}, dimensions());
  Batch batch{.tokens = 7, .items = {&first, &second}};
  executor.Run(batch);
  EXPECT_EQ(tokens, 7);
  for (const Sequence* item : {&first, &second}) {
    EXPECT_EQ(item->finishes, 1);
    EXPECT_TRUE(item->status.ok()) << item->status;
    float norm = 0;
    for (const float v : item->embedding) norm += v * v;
    EXPECT_NEAR(norm, 1, 1e-5);
  }
}

TEST_F(EngineExecutorTest, OneAbandonedCallDoesNotStopTheOthers) {
  EngineExecutor executor(model_, team_, clock_.reader(), nullptr);
  CallTicket gone, waiting;
  gone.cancelled = true;
  Sequence first(gone, {2, 5, 6, 3}, dimensions()), second(waiting, {2, 7, 3}, dimensions());
  Batch batch{.tokens = 7, .items = {&first, &second}};
  executor.Run(batch);
  EXPECT_EQ(first.status.code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(second.status.ok()) << second.status;
}

TEST_F(EngineExecutorTest, ABatchThatNobodyWaitsForStopsBetweenLayers) {
  EngineExecutor executor(model_, team_, clock_.reader(), nullptr);
  CallTicket late;
  late.deadline = kStart;
  Sequence only(late, {2, 5, 6, 3}, dimensions());
  Batch batch{.tokens = 4, .items = {&only}};
  executor.Run(batch);
  EXPECT_EQ(only.finishes, 1);
  EXPECT_EQ(only.status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(EngineExecutorTest, AWorkerServesUntilTheBatcherIsDrained) {
  Batcher batcher(clock_.reader());
  std::vector<std::unique_ptr<Executor>> of_model, of_operator;
  of_model.push_back(std::make_unique<EngineExecutor>(model_, team_, clock_.reader(), nullptr));
  of_operator.push_back(std::make_unique<TaskExecutor>(team_, clock_.reader(), nullptr));
  const auto model = std::make_shared<ModelQueue>(QueueOptions{.max_batch_tokens = 4}, std::move(of_model));
  const auto built_in = std::make_shared<ModelQueue>(QueueOptions{}, std::move(of_operator));
  CallTicket encode, compute;
  encode.queue = model.get();
  compute.queue = built_in.get();
  Sequence first(encode, {2, 5, 6, 3}, dimensions()), second(encode, {2, 7, 3}, dimensions());
  Task task(compute, Succeed);
  ASSERT_TRUE(batcher.Submit(encode, {&first, &second}).ok());
  ASSERT_TRUE(batcher.Submit(compute, {&task}).ok());
  batcher.Drain();
  RunWorker(batcher, 0);
  EXPECT_TRUE(first.status.ok() && second.status.ok() && task.status.ok());
  EXPECT_EQ(first.finishes + second.finishes + task.finishes, 3);
}

}  // namespace
}  // namespace attnd
