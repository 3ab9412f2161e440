// Embed, Tokenize, Detokenize and the models: what comes back.
#include <cmath>

#include "tests/server/rpc/fixture.h"

namespace attnd {
namespace {

class EmbedTest : public ServerTest {
 protected:
  void SetUp() override { Start(); }
  v1::EmbedRequest GoldenRequest() {
    v1::EmbedRequest request;
    for (size_t i = 0; i < golden_.size(); ++i) request.add_texts(golden_.Text(i));
    return request;
  }
  std::string LongText(int words) {
    std::string text;
    for (int i = 0; i < words; ++i) text += i % 2 == 0 ? "good " : "before ";
    return text;
  }
};

TEST_F(EmbedTest, VectorsAreTheReferences) {
  v1::EmbedResponse response;
  const grpc::Status status = Embed(GoldenRequest(), response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.model(), "bert");
  ASSERT_EQ(response.dimensions(), 96u);
  ASSERT_EQ(response.texts_size(), static_cast<int>(golden_.size()));
  const std::vector<float> vectors = Floats(response.vectors());
  ASSERT_EQ(vectors.size(), golden_.size() * 96);
  uint64_t tokens = 0;
  for (size_t i = 0; i < golden_.size(); ++i) {
    ExpectNear({vectors.begin() + i * 96, vectors.begin() + (i + 1) * 96}, GoldenEmbedding(i));
    EXPECT_EQ(response.texts(static_cast<int>(i)).tokens(), golden_.Ints(i, "ids").size());
    EXPECT_FALSE(response.texts(static_cast<int>(i)).truncated());
    tokens += golden_.Ints(i, "ids").size();
  }
  EXPECT_EQ(response.tokens(), tokens);
}

TEST_F(EmbedTest, StagesFillTheTotal) {
  v1::EmbedResponse response;
  ASSERT_TRUE(Embed(GoldenRequest(), response).ok());
  const v1::Timings& timings = response.timings();
  EXPECT_GT(timings.tokenise_ns(), 0u);
  EXPECT_GT(timings.compute_ns(), 0u);
  const uint64_t sum =
      timings.validate_ns() + timings.tokenise_ns() + timings.queue_ns() + timings.compute_ns() + timings.respond_ns();
  EXPECT_EQ(timings.total_ns(), sum);
}

TEST_F(EmbedTest, FloatsAreTheSameVectors) {
  v1::EmbedRequest request = GoldenRequest();
  v1::EmbedResponse bytes, floats;
  ASSERT_TRUE(Embed(request, bytes).ok());
  request.set_format(v1::VECTOR_FORMAT_FLOATS);
  ASSERT_TRUE(Embed(request, floats).ok());
  EXPECT_TRUE(floats.vectors().empty());
  std::vector<float> all;
  for (const auto& text : floats.texts()) all.insert(all.end(), text.values().begin(), text.values().end());
  EXPECT_EQ(all, Floats(bytes.vectors()));
}

TEST_F(EmbedTest, NormalizeOverridesTheModel) {
  v1::EmbedRequest request = GoldenRequest();
  request.set_normalize(true);
  v1::EmbedResponse response;
  ASSERT_TRUE(Embed(request, response).ok());
  const std::vector<float> vectors = Floats(response.vectors());
  for (size_t i = 0; i < golden_.size(); ++i) {
    std::vector<float> expected = GoldenEmbedding(i);
    double norm = 0;
    for (float value : expected) norm += double{value} * value;
    for (float& value : expected) value /= static_cast<float>(std::sqrt(norm));
    ExpectNear({vectors.begin() + i * 96, vectors.begin() + (i + 1) * 96}, expected, 1e-5f);
  }
}

TEST_F(EmbedTest, TextsBringTheirAttention) {
  v1::EmbedRequest request = GoldenRequest();
  request.mutable_attention()->set_content(v1::ATTENTION_CONTENT_MAPS_AND_STATISTICS);
  v1::EmbedResponse response;
  const grpc::Status status = Embed(request, response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  for (size_t i = 0; i < golden_.size(); ++i) {
    const v1::Attention& attention = response.texts(static_cast<int>(i)).attention();
    ExpectNear(Floats(attention.data()), golden_.Floats(i, "attentions"));
    EXPECT_EQ(attention.header().total_bytes(), attention.data().size());
    EXPECT_EQ(attention.header().map_layers_size(), 18);
    EXPECT_EQ(attention.tokens_size(), static_cast<int>(golden_.Ints(i, "ids").size()));
    EXPECT_EQ(attention.statistics().entropy_size(), 18);
  }
}

TEST_F(EmbedTest, LongTextsAreRefusedOrCut) {
  v1::EmbedRequest request;
  request.add_texts("short");
  request.add_texts("mother told me " + LongText(400));
  v1::EmbedResponse response;
  ExpectInvalid(Embed(request, response), "texts[1]", "130");
  std::vector<std::string> vectors;
  for (v1::Truncation policy : {v1::TRUNCATION_END, v1::TRUNCATION_START}) {
    request.set_truncate(policy);
    const grpc::Status status = Embed(request, response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_FALSE(response.texts(0).truncated());
    EXPECT_TRUE(response.texts(1).truncated());
    EXPECT_EQ(response.texts(1).tokens(), 130u);
    vectors.push_back(response.vectors());
  }
  EXPECT_EQ(vectors[0].substr(0, 96 * 4), vectors[1].substr(0, 96 * 4));
  EXPECT_NE(vectors[0].substr(96 * 4), vectors[1].substr(96 * 4));
}

TEST_F(EmbedTest, ManyTextsInOneCallAreAsOneByOne) {
  v1::EmbedRequest request;
  for (int i = 0; i < 200; ++i) request.add_texts(LongText(1 + i % 40));
  v1::EmbedResponse together;
  ASSERT_TRUE(Embed(request, together).ok());
  const std::vector<float> vectors = Floats(together.vectors());
  for (int i : {0, 1, 39, 77, 120, 199}) {
    v1::EmbedRequest one;
    one.add_texts(request.texts(i));
    v1::EmbedResponse alone;
    ASSERT_TRUE(Embed(one, alone).ok());
    ExpectNear({vectors.begin() + i * 96, vectors.begin() + (i + 1) * 96}, Floats(alone.vectors()), 1e-5f);
  }
}

TEST_F(EmbedTest, ALongRequestIsAsShortOnes) {
  v1::EmbedRequest request;
  v1::EmbedResponse all, one;
  request.set_truncate(v1::TRUNCATION_END);
  for (int i = 0; i < 4; ++i) request.add_texts(absl::StrCat(i, " ", LongText(2000)));
  ASSERT_GE(request.ByteSizeLong(), LongCalls::kLongBytes);
  ASSERT_TRUE(Embed(request, all).ok());
  request.clear_texts();
  request.add_texts("3 " + LongText(300));  // cut to the same tokens
  ASSERT_LT(request.ByteSizeLong(), LongCalls::kLongBytes);
  ASSERT_TRUE(Embed(request, one).ok());
  const std::vector<float> vectors = Floats(all.vectors());
  ExpectNear({vectors.end() - 96, vectors.end()}, Floats(one.vectors()));
  request.add_texts(Repeated("x", 200000));  // refused there, too
  const grpc::Status status = Embed(request, one);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(absl::StrContains(status.error_message(), "texts[1]")) << status.error_message();
}

TEST_F(EmbedTest, TokensThereAndBack) {
  v1::TokenizeRequest request;
  for (size_t i = 0; i < golden_.size(); ++i) request.add_texts(golden_.Text(i));
  request.add_texts(LongText(400));
  v1::TokenizeResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->Tokenize(&context, request, &response).ok());
  v1::DetokenizeRequest back;
  back.set_skip_special_tokens(true);
  for (size_t i = 0; i < golden_.size(); ++i) {
    std::vector<int32_t> ids;
    for (const v1::Token& token : response.texts(static_cast<int>(i)).tokens()) ids.push_back(token.id());
    EXPECT_EQ(ids, golden_.Ints(i, "ids"));
    back.add_sequences()->mutable_ids()->Add(ids.begin(), ids.end());
  }
  const v1::Token& first = response.texts(0).tokens(0);
  EXPECT_EQ(first.text(), "[CLS]");
  EXPECT_TRUE(first.special());
  EXPECT_EQ(first.word(), -1);
  EXPECT_GT(response.texts(static_cast<int>(golden_.size())).tokens_size(), 130);
  v1::DetokenizeResponse texts;
  grpc::ClientContext second;
  ASSERT_TRUE(stub_->Detokenize(&second, back, &texts).ok());
  ASSERT_EQ(texts.texts_size(), static_cast<int>(golden_.size()));
  EXPECT_NE(texts.texts(5).find("told me to be good"), std::string::npos) << texts.texts(5);
}

TEST_F(EmbedTest, ModelsDescribeThemselves) {
  v1::ListModelsResponse list;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->ListModels(&context, {}, &list).ok());
  ASSERT_EQ(list.models_size(), 2);
  EXPECT_EQ(list.models(0).name(), "bert");
  EXPECT_EQ(list.models(0).architecture(), "BertModel");
  EXPECT_EQ(list.models(0).layers(), 3);
  EXPECT_EQ(list.models(0).heads(), 6);
  EXPECT_EQ(list.models(0).dimensions(), 96);
  EXPECT_EQ(list.models(0).max_tokens(), 130);
  EXPECT_EQ(list.models(0).pooling(), "mean");
  EXPECT_GT(list.models(0).weight_bytes(), 0u);
  EXPECT_EQ(list.models(1).architecture(), "attention");
  EXPECT_EQ(list.limits().max_texts_per_call(), 4096u);
  v1::ModelInfo info;
  grpc::ClientContext second;
  ASSERT_TRUE(stub_->GetModel(&second, {}, &info).ok());
  EXPECT_EQ(info.SerializeAsString(), list.models(0).SerializeAsString());
}

}  // namespace
}  // namespace attnd
