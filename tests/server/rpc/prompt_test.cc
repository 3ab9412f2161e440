// Prompts of sentence-transformers: a text with its prompt is embedded as the two in one.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/server/rpc/oip_requests.h"

namespace attnd::oip {
namespace {

namespace fs = std::filesystem;

class PromptTest : public ServerTest {
 protected:
  PromptTest() : folder_(fs::path(testing::TempDir()) / ("attnd_prompts_" + std::to_string(getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    for (const auto& file : fs::directory_iterator(golden::Folder("bert"))) {
      fs::create_symlink(file.path(), folder_ / file.path().filename());
    }
    std::ofstream(folder_ / "config_sentence_transformers.json")
        << R"({"prompts": {"query": "find this: ", "passage": "read that: "}, "default_prompt_name": "passage"})";
    config_.models = {{.name = "bert", .folder = folder_.string()}};
  }
  ~PromptTest() override { fs::remove_all(folder_); }
  void SetUp() override { Start(); }

  // The vector of one text.
  std::vector<float> Vector(const v1::EmbedRequest& request) {
    v1::EmbedResponse response;
    const grpc::Status status = Embed(request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return Floats(response.vectors());
  }
  static v1::EmbedRequest Text(const std::string& text) {
    v1::EmbedRequest request;
    request.add_texts(text);
    return request;
  }
  // Without any prompt.
  std::vector<float> Plain(const std::string& text) {
    v1::EmbedRequest request = Text(text);
    request.set_prompt("");
    return Vector(request);
  }

  const fs::path folder_;
};

TEST_F(PromptTest, TheNamedTheDefaultAndTheCallersOwn) {
  v1::EmbedRequest named = Text("some words");
  named.set_prompt_name("query");
  ExpectNear(Vector(named), Plain("find this: some words"), 1e-6f);
  ExpectNear(Vector(Text("some words")), Plain("read that: some words"), 1e-6f);
  v1::EmbedRequest own = Text("some words");
  own.set_prompt("my own: ");
  ExpectNear(Vector(own), Plain("my own: some words"), 1e-6f);
}

TEST_F(PromptTest, AnUnknownNameListsThoseThereAre) {
  v1::EmbedRequest request = Text("a");
  request.set_prompt_name("no such");
  v1::EmbedResponse response;
  ExpectInvalid(Embed(request, response), "prompt_name", "it has passage, query");
  request.set_prompt("b");
  ExpectInvalid(Embed(request, response), "prompt_name", "exclude each other");
}

// Its size must not be multiplied by the number of texts: 4,096 of them with 8 MB would be 32 GB.
TEST_F(PromptTest, ALargePromptIsRefusedBeforeItIsRepeated) {
  v1::EmbedRequest request;
  for (int i = 0; i < 4096; ++i) request.add_texts("a");
  request.set_prompt(std::string(8 << 20, 'a'));
  v1::EmbedResponse response;
  ExpectInvalid(Embed(request, response), "texts[0]", "max_text_bytes");
  ExpectAlive();
}

TEST_F(PromptTest, ThroughTheOpenInferenceProtocol) {
  const auto inference = inference::GRPCInferenceService::NewStub(channel_);
  ModelInferRequest request = Texts({"some words"});
  (*request.mutable_parameters())["prompt_name"].set_string_param("query");
  grpc::ClientContext context;
  ModelInferResponse response;
  ASSERT_TRUE(inference->ModelInfer(&context, request, &response).ok());
  ExpectNear(Output<float>(response, "embedding").values, Plain("find this: some words"), 1e-6f);
  request = Texts({"some words"});
  AddRaw(request, "text_pair", "BYTES", {1}, Framed({"more"}));
  (*request.mutable_parameters())["prompt_name"].set_string_param("query");
  grpc::ClientContext other;
  ExpectInvalid(inference->ModelInfer(&other, request, &response), "parameters.prompt_name", "text alone");
}

TEST_F(PromptTest, ModelInfoListsThem) {
  grpc::ClientContext context;
  v1::ModelInfo info;
  ASSERT_TRUE(stub_->GetModel(&context, v1::GetModelRequest(), &info).ok());
  EXPECT_EQ(info.prompts().at("query"), "find this: ");
  EXPECT_EQ(info.default_prompt(), "passage");
}

}  // namespace
}  // namespace attnd::oip
