// Embed of a decoder whose folder says, as sentence-transformers does, how it embeds.
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "core/ops/pooling.h"
#include "tests/golden/dense_module.h"
#include "tests/server/rpc/fixture.h"
#include "tests/temp_files.h"

namespace attnd {
namespace {

class EmbedDecoderTest : public ServerTest {
 protected:
  EmbedDecoderTest() : ServerTest("qwen3") {
    folder_.LinkFilesOf(golden::Folder("qwen3"));
    Write("modules.json", R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
                              {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
                              {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}])");
    Write("sentence_bert_config.json", R"({"max_seq_length": 40})");
    Write("config_sentence_transformers.json",
          R"({"prompts": {"query": "Find: ", "document": ""}, "default_prompt_name": null})");
    config_.models = {{.name = "plain", .folder = golden::Folder("qwen3")}, {.name = "st", .folder = folder_.path()}};
  }
  void Write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
  }
  void StartWith(const std::string& pooling) {
    Write("1_Pooling/config.json", "{\"word_embedding_dimension\": 96, \"" + pooling + "\": true}");
    Start();
  }

  // The vector of request's one text.
  std::vector<float> Vector(const v1::EmbedRequest& request) {
    v1::EmbedResponse response;
    const grpc::Status status = Embed(request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    std::vector<float> vector(response.vectors().size() / sizeof(float));
    std::memcpy(vector.data(), response.vectors().data(), response.vectors().size());
    EXPECT_EQ(vector.size(), response.dimensions());
    return vector;
  }
  static v1::EmbedRequest Request(const std::string& model, const std::string& text) {
    v1::EmbedRequest request;
    request.set_model(model);
    request.add_texts(text);
    return request;
  }
  // What the same weights give without such files, where everything is asked for.
  std::vector<float> Expected(const std::string& text, v1::Pooling pooling, bool normalize) {
    v1::EmbedRequest request = Request("plain", text);
    request.set_pooling(pooling);
    request.set_normalize(normalize);
    return Vector(request);
  }
  static void ExpectNear(const std::vector<float>& vector, const std::vector<float>& expected) {
    ASSERT_EQ(vector.size(), expected.size());
    for (size_t c = 0; c < vector.size(); ++c) ASSERT_NEAR(vector[c], expected[c], 1e-5) << c;
  }

  const TempFolder folder_{"embed_decoder"};
};

TEST_F(EmbedDecoderTest, PoolingAndNormalizeAreTheFoldersUnlessAsked) {
  StartWith("pooling_mode_mean_tokens");
  const std::string text = golden_.Text(1);
  v1::EmbedRequest request = Request("st", text);
  ExpectNear(Vector(request), Expected(text, v1::POOLING_MEAN, true));
  request.set_pooling(v1::POOLING_LAST);
  ExpectNear(Vector(request), Expected(text, v1::POOLING_LAST, true));
  request.set_normalize(false);
  ExpectNear(Vector(request), Expected(text, v1::POOLING_LAST, false));
  ExpectNear(Vector(Request("plain", text)), Expected(text, v1::POOLING_LAST, false));
}

TEST_F(EmbedDecoderTest, LastToken) {
  StartWith("pooling_mode_lasttoken");
  const std::string text = golden_.Text(2);
  v1::EmbedRequest request = Request("st", text);
  ExpectNear(Vector(request), Expected(text, v1::POOLING_LAST, true));
  request.set_pooling(v1::POOLING_MEAN);
  ExpectNear(Vector(request), Expected(text, v1::POOLING_MEAN, true));
}

TEST_F(EmbedDecoderTest, DenseModulesComeBeforeNormalize) {
  const golden::DenseModule dense(96, 40, /*tanh=*/true, 3);
  dense.Write(folder_ / "2_Dense");
  Write("modules.json", R"([{"type": "sentence_transformers.models.Transformer", "path": ""},
                            {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
                            {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
                            {"type": "sentence_transformers.models.Normalize", "path": "3_Normalize"}])");
  StartWith("pooling_mode_mean_tokens");
  const std::string text = golden_.Text(1);
  for (const v1::Pooling pooling : {v1::POOLING_MEAN, v1::POOLING_LAST}) {
    v1::EmbedRequest request = Request("st", text);
    if (pooling != v1::POOLING_MEAN) request.set_pooling(pooling);
    std::vector<float> expected = dense.Of(Expected(text, pooling, false));
    request.set_normalize(false);
    ExpectNear(Vector(request), expected);
    NormalizeL2(static_cast<int>(expected.size()), expected.data());
    request.clear_normalize();
    ExpectNear(Vector(request), expected);
  }
  grpc::ClientContext context;
  v1::GetModelRequest request;
  request.set_model("st");
  v1::ModelInfo info;
  ASSERT_TRUE(stub_->GetModel(&context, request, &info).ok());
  EXPECT_EQ(info.dimensions(), 40);
}

TEST_F(EmbedDecoderTest, PromptsGoBeforeTheText) {
  StartWith("pooling_mode_lasttoken");
  v1::EmbedRequest request = Request("st", "a cat");
  request.set_prompt_name("query");
  ExpectNear(Vector(request), Expected("Find: a cat", v1::POOLING_LAST, true));
  request.set_prompt_name("document");
  ExpectNear(Vector(request), Expected("a cat", v1::POOLING_LAST, true));
  request.set_prompt_name("passage");
  v1::EmbedResponse response;
  ExpectInvalid(Embed(request, response), "prompt_name", "document, query");
}

TEST_F(EmbedDecoderTest, MaxSeqLengthIsOfEmbedAlone) {
  StartWith("pooling_mode_lasttoken");
  v1::EmbedRequest request = Request("st", Repeated("a word ", 60));
  v1::EmbedResponse response;
  ExpectInvalid(Embed(request, response), "texts[0]", "40");
  request.set_truncate(v1::TRUNCATION_END);
  const grpc::Status status = Embed(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.texts(0).tokens(), 40u);
  EXPECT_TRUE(response.texts(0).truncated());
  EXPECT_TRUE(Embed(Request("plain", Repeated("a word ", 60)), response).ok());
}

TEST_F(EmbedDecoderTest, ModelInfoSaysSo) {
  StartWith("pooling_mode_mean_tokens");
  v1::ModelInfo info;
  for (const char* name : {"st", "plain"}) {
    v1::GetModelRequest request;
    request.set_model(name);
    grpc::ClientContext context;
    ASSERT_TRUE(stub_->GetModel(&context, request, &info).ok());
    const bool st = request.model() == "st";
    EXPECT_EQ(info.pooling(), st ? "mean" : "last");
    EXPECT_EQ(info.normalize(), st);
    EXPECT_EQ(info.prompts_size(), st ? 2 : 0);
    EXPECT_EQ(info.dimensions(), 96);
    EXPECT_EQ(info.max_tokens(), 512);
  }
}

}  // namespace
}  // namespace attnd
