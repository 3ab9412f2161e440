// Prompts of sentence-transformers: a text with its prompt is embedded as the two in one.
#include <fstream>

#include "tests/server/rpc/oip_requests.h"
#include "tests/temp_files.h"

namespace attnd::oip {
namespace {

class PromptTest : public OipTest {
 protected:
  PromptTest() {
    folder_.LinkFilesOf(golden::Folder("bert"));
    std::ofstream(folder_ / "config_sentence_transformers.json")
        << R"({"prompts": {"query": "find this: ", "passage": "read that: "}, "default_prompt_name": "passage"})";
    config_.models = {{.name = "bert", .folder = folder_.path().string()}};
  }

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

  const TempFolder folder_{"prompts"};
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
  ModelInferRequest request = Texts({"some words"});
  (*request.mutable_parameters())["prompt_name"].set_string_param("query");
  ExpectNear(Output<float>(MustInfer(request), "embedding").values, Plain("find this: some words"), 1e-6f);
  request = Texts({"some words"});
  AddRaw(request, "text_pair", "BYTES", {1}, Framed({"more"}));
  (*request.mutable_parameters())["prompt_name"].set_string_param("query");
  ExpectRefused(request, "parameters.prompt_name", "text alone");
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
