// What clients must not send: each answered by name, and the server goes on.
#include "tests/server/raw_call.h"
#include "tests/server/rpc/attend_fixture.h"

namespace attnd {
namespace {

class BadInputTest : public AttendServerTest {
 protected:
  void TearDown() override { ExpectAlive(); }

  grpc::Status EmbedOne(const std::string& text, const std::function<void(v1::EmbedRequest&)>& change = nullptr) {
    v1::EmbedRequest request;
    request.add_texts(text);
    if (change) change(request);
    v1::EmbedResponse response;
    return Embed(request, response);
  }
  grpc::Status Attend(const std::function<void(v1::AttendRequest&)>& change) {
    v1::AttendRequest request;
    request.set_text("some text to look at");
    change(request);
    return AttendServerTest::Attend(request).status;
  }
  grpc::Status Raw(const std::string& method, const std::string& bytes) {
    return RawCall(*channel_, "/attnd.v1.Attnd/" + method, bytes);
  }
};

TEST_F(BadInputTest, EmptyTextAndNulAreTexts) {
  EXPECT_TRUE(EmbedOne("").ok());
  const grpc::Status status = EmbedOne(std::string("a\0b", 3));
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(BadInputTest, ALongText) {
  ExpectInvalid(EmbedOne(std::string(1 << 20, 'a')), "texts[0]", "131072");
  ExpectInvalid(Attend([](auto& request) { request.set_text(std::string(1 << 20, 'a')); }), "text", "131072");
}

TEST_F(BadInputTest, TooManyAndTooFewTexts) {
  v1::EmbedRequest request;
  v1::EmbedResponse response;
  ExpectInvalid(Embed(request, response), "texts", "at least 1");
  for (int i = 0; i < 10000; ++i) request.add_texts("a");
  ExpectInvalid(Embed(request, response), "texts", "4096");
}

TEST_F(BadInputTest, TextsThatAreNotUtf8) {
  // texts (field 2, length-delimited), 2 bytes
  ExpectInvalid(Raw("Embed", "\x12\x02\xff\xfe"), "request", "UTF-8");
  ExpectInvalid(Raw("Tokenize", "\x12\x02\xff\xfe"), "request", "UTF-8");
  ExpectInvalid(Raw("Attend", "\x12\x02\xff\xfe"), "request", "UTF-8");
}

TEST_F(BadInputTest, BytesThatAreNoMessage) {
  ExpectInvalid(Raw("Embed",
                    "\x12\x7f"
                    "ab"),
                "request", "malformed");
  ExpectInvalid(Raw("ListModels", "\xff\xff\xff\xff"), "request", "malformed");
}

TEST_F(BadInputTest, UnknownModels) {
  const grpc::Status status = EmbedOne("a", [](auto& request) { request.set_model("nobody"); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_NE(status.error_message().find("bert"), std::string::npos) << status.error_message();
  EXPECT_EQ(status.error_message().find("nobody"), std::string::npos) << "request text in a message";
  ExpectInvalid(EmbedOne("a", [](auto& request) { request.set_model("attention"); }), "model");
}

TEST_F(BadInputTest, UnknownEnums) {
  ExpectInvalid(EmbedOne("a", [](auto& request) { request.set_format(static_cast<v1::VectorFormat>(9)); }), "format");
  ExpectInvalid(EmbedOne("a", [](auto& request) { request.set_truncate(static_cast<v1::Truncation>(9)); }), "truncate");
  ExpectInvalid(
      Attend([](auto& request) { request.mutable_attention()->set_dtype(static_cast<v1::AttentionDType>(9)); }),
      "attention.dtype");
  ExpectInvalid(Attend([](auto& request) {
                  request.mutable_attention()->set_content(v1::ATTENTION_CONTENT_STATISTICS);
                  request.mutable_attention()->add_statistics(static_cast<v1::AttentionStatistic>(99));
                }),
                "attention.statistics[0]");
}

TEST_F(BadInputTest, SelectionsThatDoNotExist) {
  const auto select = [&](const std::string& text) {
    return Attend([&](auto& request) { request.mutable_attention()->set_select(text); });
  };
  ExpectInvalid(select("L99"), "attention.select", "0 to 2");
  ExpectInvalid(select("L0Hx"), "attention.select");
  ExpectInvalid(select("x"), "attention.select");
  ExpectInvalid(EmbedOne("a", [](auto& request) { request.mutable_attention()->set_select("L0H6"); }),
                "attention.select", "0 to 5");
  ExpectInvalid(Attend([](auto& request) {
                  request.mutable_attention()->set_content(v1::ATTENTION_CONTENT_STATISTICS);
                  request.mutable_attention()->set_statistics_select("L99");
                }),
                "attention.statistics_select", "0 to 2");
}

TEST_F(BadInputTest, RangesAndTopK) {
  ExpectInvalid(Attend([](auto& request) { request.mutable_attention()->set_layout(v1::ATTENTION_LAYOUT_TOP_K); }),
                "attention.top_k", "at least 1");
  ExpectInvalid(Attend([](auto& request) {
                  request.mutable_attention()->mutable_queries()->set_begin(4);
                  request.mutable_attention()->mutable_queries()->set_end(2);
                }),
                "attention.queries", "empty");
  ExpectInvalid(Attend([](auto& request) { request.mutable_attention()->mutable_keys()->set_begin(5000); }),
                "attention.keys", "empty");
}

TEST_F(BadInputTest, ChunksOutOfBounds) {
  ExpectInvalid(Attend([](auto& request) { request.set_chunk_bytes(10); }), "chunk_bytes", "1024");
  ExpectInvalid(Attend([](auto& request) { request.set_chunk_bytes(2000000); }), "chunk_bytes", "1048576");
}

TEST_F(BadInputTest, TheCapOfTheWholeCall) {
  v1::EmbedRequest request;
  for (int i = 0; i < 10; ++i) request.add_texts("good before");
  request.mutable_attention()->set_max_bytes(3 * 6 * 4 * 4 * 4 * 9);
  v1::EmbedResponse response;
  const grpc::Status status = Embed(request, response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_NE(status.error_message().find("11520 bytes, the limit is 10368"), std::string::npos)
      << status.error_message();
}

TEST_F(BadInputTest, EstimatesWithoutInput) {
  v1::EstimateAttentionRequest request;
  v1::EstimateAttentionResponse response;
  ExpectInvalid(Estimate(request, response), "input");
  request.set_tokens(131);
  ExpectInvalid(Estimate(request, response), "tokens", "130");
}

TEST_F(BadInputTest, IdsOutsideTheVocabulary) {
  v1::DetokenizeRequest request;
  request.add_sequences()->add_ids(5);
  request.add_sequences()->add_ids(800000);
  v1::DetokenizeResponse response;
  grpc::ClientContext context;
  ExpectInvalid(stub_->Detokenize(&context, request, &response), "sequences[1].ids");
}

TEST_F(BadInputTest, OversizeMessages) {
  const grpc::Status status = EmbedOne(std::string(17 << 20, 'a'));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
}

TEST_F(BadInputTest, CompressedRequests) {
  v1::EmbedRequest request;
  request.add_texts(std::string(1 << 20, 'a'));
  v1::EmbedResponse response;
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  const grpc::Status status = stub_->Embed(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << status.error_message();
}

}  // namespace
}  // namespace attnd
