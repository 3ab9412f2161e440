// Models that come and go while the server runs.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/rpc/oip_requests.h"
#include "tests/temp_files.h"

namespace attnd::oip {
namespace {

namespace fs = std::filesystem;

class RepositoryTest : public OipTest {
 protected:
  RepositoryTest() {
    fs::create_directories(folder_ / "broken");
    std::ofstream(folder_ / "broken" / "config.json") << "{";
    fs::create_directories(folder_ / ".hidden");
    std::ofstream(folder_ / "a file") << "";
    Add("first", "bert");
    config_.models.clear();
    config_.model_repository = folder_.path().string();
  }
  void SetUp() override {}  // each test calls Begin once its folder is as it should be

  void Add(const std::string& name, const std::string& model) {
    fs::create_directory_symlink(golden::Folder(model), folder_ / name);
  }
  grpc::Status Load(const std::string& name) {
    grpc::ClientContext context;
    inference::RepositoryModelLoadRequest request;
    request.set_model_name(name);
    inference::RepositoryModelLoadResponse response;
    return inference_->RepositoryModelLoad(&context, request, &response);
  }
  grpc::Status Unload(const std::string& name) {
    grpc::ClientContext context;
    inference::RepositoryModelUnloadRequest request;
    request.set_model_name(name);
    inference::RepositoryModelUnloadResponse response;
    return inference_->RepositoryModelUnload(&context, request, &response);
  }
  // "name state reason" of each.
  std::map<std::string, std::string> Index(bool ready = false) {
    grpc::ClientContext context;
    inference::RepositoryIndexRequest request;
    request.set_ready(ready);
    inference::RepositoryIndexResponse response;
    EXPECT_TRUE(inference_->RepositoryIndex(&context, request, &response).ok());
    std::map<std::string, std::string> index;
    for (const auto& model : response.models()) index[model.name()] = model.state() + " " + model.reason();
    return index;
  }
  grpc::Status EmbedWith(const std::string& model, int texts = 1) {
    v1::EmbedRequest request;
    request.set_model(model);
    for (int i = 0; i < texts; ++i) request.add_texts("Patch griefs with proverbs.");
    v1::EmbedResponse response;
    return Embed(request, response);
  }
  grpc::health::v1::HealthCheckResponse::ServingStatus Health(const std::string& model) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(model);
    grpc::health::v1::HealthCheckResponse response;
    grpc::health::v1::Health::NewStub(channel_)->Check(&context, request, &response);
    return response.status();
  }

  const TempFolder folder_{"repository"};
};

TEST_F(RepositoryTest, EveryFolderIsServedAndWhatFailsSaysWhy) {
  Begin();
  const auto index = Index();
  ASSERT_EQ(index.size(), 3u);
  EXPECT_EQ(index.at("first"), "READY ");
  EXPECT_EQ(index.at("attention"), "READY ");
  EXPECT_THAT(index.at("broken"), testing::StartsWith("UNAVAILABLE "));
  EXPECT_THAT(index.at("broken"), testing::HasSubstr("config.json"));
  EXPECT_EQ(Index(true).count("broken"), 0u);
  EXPECT_TRUE(EmbedWith("first").ok());
  EXPECT_EQ(EmbedWith("broken").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(RepositoryTest, LoadAndUnload) {
  Begin();
  Add("second", "distilbert");
  EXPECT_EQ(Index().at("second"), "UNAVAILABLE not loaded");
  EXPECT_EQ(EmbedWith("second").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(Load("second").ok());
  EXPECT_TRUE(EmbedWith("second").ok());
  EXPECT_EQ(Health("second"), grpc::health::v1::HealthCheckResponse::SERVING);
  EXPECT_THAT(server_->context().metrics.Text(), testing::HasSubstr("model=\"second\",precision=\"f32\"} 1"));

  EXPECT_TRUE(Unload("second").ok());
  EXPECT_EQ(Index().at("second"), "UNAVAILABLE unloaded");
  EXPECT_EQ(EmbedWith("second").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Health("second"), grpc::health::v1::HealthCheckResponse::NOT_SERVING);
  EXPECT_THAT(server_->context().metrics.Text(),
              testing::Not(testing::HasSubstr("model=\"second\",precision=\"f32\"} 1")));
  EXPECT_EQ(Unload("second").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(EmbedWith("first").ok());
}

TEST_F(RepositoryTest, OnlyFoldersOfTheRepositoryCanBeLoaded) {
  config_.models = {{.name = "fixed", .folder = golden::Folder("bert")}};
  Begin();
  for (const std::string path : {"../golden/bert", "/etc", "..", ".", ".hidden", "", "first/", "a b"}) {
    EXPECT_EQ(Load(path).error_code(), grpc::StatusCode::INVALID_ARGUMENT) << path;
  }
  EXPECT_EQ(Load("absent").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Load("fixed").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Unload("fixed").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Unload("attention").error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  const grpc::Status broken = Load("broken");
  EXPECT_FALSE(broken.ok());
  EXPECT_THAT(broken.error_message(), testing::HasSubstr("config.json"));
}

TEST_F(RepositoryTest, WithoutARepositoryNothingIsLoaded) {
  config_.models = {{.name = "fixed", .folder = golden::Folder("bert")}};
  config_.model_repository.clear();
  Begin();
  const grpc::Status status = Load("first");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("--model-repository"));
}

TEST_F(RepositoryTest, ADecoderIsUnloadedWhileItGenerates) {
  Add("decoder", "llama");
  fs::create_directories(folder_ / "several");
  std::ofstream(folder_ / "several" / "a.gguf") << "";
  std::ofstream(folder_ / "several" / "b.gguf") << "";
  Begin();
  EXPECT_THAT(Index().at("several"), testing::HasSubstr("several .gguf files"));
  EXPECT_EQ(Health("decoder"), grpc::health::v1::HealthCheckResponse::SERVING);
  v1::GenerateRequest request;
  request.set_model("decoder");
  request.mutable_input_ids()->add_ids(5);
  request.mutable_options()->set_max_tokens(400);
  request.mutable_options()->set_ignore_eos(true);
  request.mutable_options()->set_n(16);
  request.mutable_options()->set_logprobs(20);  // more than any window holds
  grpc::ClientContext context;
  auto reader = stub_->Generate(&context, request);
  v1::GenerateResponse event;
  ASSERT_TRUE(reader->Read(&event));
  std::weak_ptr<GenerationRunner> runner = server_->context().models.Find("decoder")->decoder;
  EXPECT_TRUE(Unload("decoder").ok());
  grpc::ClientContext of_late;
  auto late = stub_->Generate(&of_late, request);
  EXPECT_FALSE(late->Read(&event));
  EXPECT_EQ(late->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
  while (reader->Read(&event)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(event.summary().generated_tokens(), 6400u);
  EXPECT_TRUE(Eventually([&] { return runner.expired(); }));
  EXPECT_TRUE(Load("decoder").ok());
  EXPECT_TRUE(EmbedWith("first").ok());
}

// Callers see no failure while a model is loaded again and again, and another comes and goes.
TEST_F(RepositoryTest, TrafficIsNotDisturbed) {
  Add("second", "bert");
  Begin();
  std::atomic<bool> stop{false};
  std::atomic<int> answered{0}, failed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&] {
      while (!stop) {
        if (EmbedWith("first", 8).ok()) {
          ++answered;
        } else {
          ++failed;
        }
      }
    });
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(Load("first").ok());
    EXPECT_TRUE(Unload("second").ok());
    EXPECT_TRUE(Load("second").ok());
  }
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(answered, 0);
}

// The call is in the queue, which waits an hour for more, when its model is unloaded; it is answered in the drain.
TEST_F(RepositoryTest, WhatIsQueuedFinishesAfterTheUnload) {
  config_.queue.max_queue_delay_us = int64_t{3600} * 1000000;
  Begin();
  const ServedModelPtr served = server_->context().models.Find("first");
  const std::weak_ptr<const Model> model = served->model;
  grpc::Status status;
  std::thread caller([&] { status = EmbedWith("first"); });
  EXPECT_TRUE(Eventually([&] { return server_->context().batcher.Stats(*served->queue).requests == 1; }));
  EXPECT_TRUE(Unload("first").ok());
  EXPECT_EQ(EmbedWith("first").error_code(), grpc::StatusCode::NOT_FOUND);
  server_->context().batcher.Drain();
  caller.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  // The test's own reference is the last one.
  EXPECT_TRUE(Eventually([&] { return served.use_count() == 1; }));
  EXPECT_FALSE(model.expired());
}

}  // namespace
}  // namespace attnd::oip
