// The verbs of attn against a small server of attnd.v1 and grpc.health.v1 in this process.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "attnd/v1/attnd.grpc.pb.h"
#include "client/app.h"
#include "client/channel.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"

namespace attnd {
namespace {

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using testing::HasSubstr;

// Words are tokens between [CLS] and [SEP]; a text of more than 8 tokens is too long. Vectors have 2 dimensions.
class FakeService : public v1::Attnd::Service {
 public:
  static std::vector<v1::Token> Tokens(const std::string& text) {
    std::vector<v1::Token> tokens;
    const auto special = [&](const char* name) {
      v1::Token token;
      token.set_text(name);
      token.set_special(true);
      token.set_word(-1);
      tokens.push_back(token);
    };
    special("[CLS]");
    for (size_t begin = 0; begin < text.size();) {
      size_t end = std::min(text.find(' ', begin), text.size());
      v1::Token token;
      token.set_id(static_cast<int>(tokens.size()) + 100);
      token.set_text(text.substr(begin, end - begin));
      token.set_begin(static_cast<uint32_t>(begin));
      token.set_end(static_cast<uint32_t>(end));
      token.set_word(static_cast<int>(tokens.size()) - 1);
      tokens.push_back(token);
      begin = end + 1;
    }
    special("[SEP]");
    return tokens;
  }

  Status Embed(ServerContext*, const v1::EmbedRequest* request, v1::EmbedResponse* response) override {
    response->set_dimensions(2);
    for (int i = 0; i < request->texts_size(); ++i) {
      const auto count = static_cast<uint32_t>(Tokens(request->texts(i)).size());
      if (count > 8 && request->truncate() == v1::TRUNCATION_REFUSE) {
        return {StatusCode::INVALID_ARGUMENT, "texts[" + std::to_string(i) + "]: the text has " +
                                                  std::to_string(count) + " tokens, at most 8 are allowed"};
      }
      const float angle = static_cast<float>(count);
      const float values[2] = {std::cos(angle), std::sin(angle)};
      response->mutable_vectors()->append(reinterpret_cast<const char*>(values), sizeof(values));
      response->add_texts()->set_tokens(count);
      response->set_tokens(response->tokens() + count);
    }
    return Status::OK;
  }

  Status EmbedStream(ServerContext* context,
                     grpc::ServerReaderWriter<v1::EmbedStreamResponse, v1::EmbedStreamRequest>* stream) override {
    v1::EmbedStreamRequest request;
    while (stream->Read(&request)) {
      v1::EmbedStreamResponse response;
      response.set_id(request.id());
      const Status status = Embed(context, &request.request(), response.mutable_response());
      if (!status.ok()) {
        response.mutable_error()->set_code(status.error_code());
        response.mutable_error()->set_message(status.error_message());
      }
      stream->Write(response);
    }
    return Status::OK;
  }

  Status Attend(ServerContext*, const v1::AttendRequest* request,
                grpc::ServerWriter<v1::AttendFrame>* writer) override {
    const auto tokens = Tokens(request->text());
    const int n = static_cast<int>(tokens.size());
    if (request->attention().select() == "9:*") {
      return {StatusCode::INVALID_ARGUMENT, "attention.select: layer 9 of item 1 is not below 6"};
    }
    v1::AttendFrame frame;
    v1::AttendHeader& header = *frame.mutable_header();
    header.set_model("fake");
    for (const auto& token : tokens) *header.add_tokens() = token;
    v1::AttentionHeader& map = *header.mutable_attention();
    std::string data;
    if (request->attention().content() != v1::ATTENTION_CONTENT_STATISTICS) {
      map.add_map_layers(3);
      map.add_map_heads(5);
      map.set_rows(n);
      map.set_columns(n);
      for (int i = 0; i < n; ++i) {
        map.add_row_begins(i);
        map.add_row_ends(i + 1);
        map.add_column_begins(i);
        map.add_column_ends(i + 1);
      }
      // Every token looks at the one before it.
      std::vector<float> values(static_cast<size_t>(n) * n);
      for (int i = 0; i < n; ++i) values[static_cast<size_t>(i) * n + std::max(0, i - 1)] = 1;
      data.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
      map.set_total_bytes(data.size());
      auto& part = *map.add_parts();
      part.set_kind(v1::AttentionPart::KIND_VALUES);
      part.set_bytes(data.size());
    }
    writer->Write(frame);
    for (size_t offset = 0; offset < data.size(); offset += 100) {
      v1::AttendFrame part;
      part.mutable_data()->set_offset(offset);
      part.mutable_data()->set_data(data.substr(offset, 100));
      writer->Write(part);
    }
    v1::AttendFrame trailer;
    auto& statistics = *trailer.mutable_trailer()->mutable_statistics();
    statistics.set_tokens(n);
    statistics.add_layers(3);
    statistics.add_heads(5);
    statistics.add_entropy(0.5F);
    statistics.add_confidence(1);
    statistics.add_previous(0.9F);
    writer->Write(trailer);
    return Status::OK;
  }

  Status Tokenize(ServerContext*, const v1::TokenizeRequest* request, v1::TokenizeResponse* response) override {
    for (const auto& text : request->texts()) {
      auto& tokenized = *response->add_texts();
      for (const auto& token : Tokens(text)) *tokenized.add_tokens() = token;
    }
    return Status::OK;
  }

  Status EstimateAttention(ServerContext*, const v1::EstimateAttentionRequest* request,
                           v1::EstimateAttentionResponse* response) override {
    response->set_tokens(request->tokens());
    response->mutable_attention()->set_total_bytes(4096);
    response->set_allowed(request->tokens() < 512);
    return Status::OK;
  }

  Status ListModels(ServerContext*, const v1::ListModelsRequest*, v1::ListModelsResponse* response) override {
    auto& model = *response->add_models();
    model.set_name("fake");
    model.set_layers(6);
    model.set_heads(12);
    return Status::OK;
  }
};

class FakeHealth : public grpc::health::v1::Health::Service {
 public:
  Status Check(ServerContext*, const grpc::health::v1::HealthCheckRequest* request,
               grpc::health::v1::HealthCheckResponse* response) override {
    if (request->service() == "absent") return {StatusCode::NOT_FOUND, "unknown"};
    using Response = grpc::health::v1::HealthCheckResponse;
    response->set_status(request->service() == "draining" ? Response::NOT_SERVING : Response::SERVING);
    return Status::OK;
  }
};

struct Outcome {
  int code = 0;
  std::string out, err;
};

class AttnTest : public testing::Test {
 protected:
  AttnTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    builder.RegisterService(&health_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
  }
  ~AttnTest() override { server_->Shutdown(); }

  Outcome Attn(std::vector<std::string> arguments, const std::string& input = "") {
    std::istringstream in(input);
    std::ostringstream out, err;
    Io io{in, out, err};
    arguments.insert(arguments.begin(), {"--address", address_});
    const int code = RunAttn(arguments, io);
    return {code, out.str(), err.str()};
  }

  FakeService service_;
  FakeHealth health_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(AttnTest, EmbedWritesALineATextInOrder) {
  std::string input;
  for (int i = 0; i < 100; ++i) input += i % 2 == 0 ? "one\n" : "one two three\n";
  const Outcome run = Attn({"embed", "--batch", "7"}, input);
  EXPECT_EQ(run.code, kExitOk) << run.err;
  std::istringstream lines(run.out);
  std::string line;
  int number = 0;
  while (std::getline(lines, line)) {
    ++number;
    EXPECT_THAT(line, testing::StartsWith("{\"id\":" + std::to_string(number) +
                                          ",\"tokens\":" + (number % 2 == 1 ? "3" : "5") + ",\"embedding\":["));
  }
  EXPECT_EQ(number, 100);
}

TEST_F(AttnTest, EmbedNamesTheLineThatFailedAndGoesOn) {
  const Outcome run = Attn({"embed"}, "one\ntwo\na b c d e f g h i\nthree\n\xff\xfe\n");
  EXPECT_EQ(run.code, kExitFailed);
  EXPECT_THAT(run.err, HasSubstr("attn: line 3: INVALID_ARGUMENT: the text has 11 tokens, at most 8 are "
                                 "allowed (pass --truncate end, or split it)"));
  EXPECT_THAT(run.err, HasSubstr("attn: line 5: INVALID_ARGUMENT: the text is not UTF-8"));
  EXPECT_THAT(run.err, HasSubstr("2 texts of 5 failed"));
  EXPECT_THAT(run.out, HasSubstr("{\"id\":4,\"tokens\":3,\"embedding\""));
  EXPECT_THAT(run.out, HasSubstr("{\"error\":\"INVALID_ARGUMENT: the text has"));
  EXPECT_EQ(Attn({"embed", "--truncate", "end", "a b c d e f g h i"}).code, kExitOk);
}

TEST_F(AttnTest, EmbedSavesNpyWithTheCountOfRows) {
  const std::string path = testing::TempDir() + "/attn_embed_test_" + std::to_string(getpid()) + ".npy";
  const Outcome run = Attn({"embed", "--format", "npy", "-o", path, "one", "two three"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(bytes.size(), 192U + 2 * 2 * sizeof(float));
  EXPECT_THAT(bytes, HasSubstr("'shape': (2, 2)"));
  float first = 0;
  std::memcpy(&first, bytes.data() + 192, sizeof(first));
  EXPECT_FLOAT_EQ(first, std::cos(3.0F));
}

TEST_F(AttnTest, EmbedShowsSimilarities) {
  const Outcome run = Attn({"embed", "--similarity", "same", "same", "another one"});
  EXPECT_EQ(run.code, kExitOk);
  EXPECT_THAT(run.out, HasSubstr("1 same"));
  EXPECT_THAT(run.out, HasSubstr(" 1.000  1.000  0.540"));
  EXPECT_THAT(run.out, HasSubstr("3 texts, 10 tokens, "));
}

TEST_F(AttnTest, AttendDrawsInAsciiWithoutATerminal) {
  const Outcome run = Attn({"attend", "the cat sat", "--layer", "3", "--head", "5"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("fake L3H5  5 tokens"));
  EXPECT_THAT(run.out, HasSubstr("  cat   @@      |  → the 1.00\n"));
  EXPECT_THAT(run.out, HasSubstr("rows ask, columns answer"));
  EXPECT_THAT(run.out, HasSubstr("previous: entropy 0.50 nats of 1.61"));
  EXPECT_THAT(run.out, testing::Not(HasSubstr("\x1b")));
}

TEST_F(AttnTest, AttendSaysWhatTheServerRefused) {
  const Outcome run = Attn({"attend", "the cat", "--layer", "9"});
  EXPECT_EQ(run.code, kExitFailed);
  EXPECT_THAT(run.err, HasSubstr("attn: INVALID_ARGUMENT: attention.select: layer 9"));
}

TEST_F(AttnTest, AttendSavesFilesAndPrintsJson) {
  const std::string svg = testing::TempDir() + "/attn_test_" + std::to_string(getpid()) + ".svg",
                    npy = testing::TempDir() + "/attn_test_" + std::to_string(getpid()) + ".npy";
  EXPECT_EQ(Attn({"attend", "a <b> c", "--head", "L3H5", "--svg", svg, "--npy", npy}).code, kExitOk);
  std::ifstream file(svg);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(bytes, HasSubstr("a &lt;b&gt; c"));
  EXPECT_THAT(bytes, testing::Not(HasSubstr("<b>")));
  const Outcome run = Attn({"attend", "a b", "--head", "L3H5", "--json"});
  EXPECT_THAT(run.out, HasSubstr("\"columns\":[\"[CLS]\",\"a\",\"b\",\"[SEP]\"]"));
}

TEST_F(AttnTest, AttendFromAWordIsItsRow) {
  const Outcome run = Attn({"attend", "the cat sat", "--head", "L3H5", "--from", "SAT"});
  EXPECT_EQ(run.code, kExitOk) << run.err;
  EXPECT_THAT(run.out, HasSubstr("  cat 1.00 ####"));
  const Outcome absent = Attn({"attend", "the cat sat", "--head", "L3H5", "--from", "dog"});
  EXPECT_EQ(absent.code, kExitUsage);
  EXPECT_THAT(absent.err, HasSubstr("no word 'dog' in the text; there are: [CLS] the cat sat [SEP]"));
}

TEST_F(AttnTest, BracketedTextsAreNoLists) {
  const Outcome run = Attn({"tokenize", "--ids", "[a,b]"});
  EXPECT_EQ(run.code, kExitOk);
  EXPECT_EQ(run.out, "0 101 0\n");
  EXPECT_THAT(Attn({"tokenize", "--json", "[a,b]"}).out, HasSubstr("\"text\":\"[a,b]\""));
}

TEST_F(AttnTest, OtherVerbs) {
  EXPECT_THAT(Attn({"heads", "the cat"}).out, HasSubstr("L3H5"));
  EXPECT_THAT(Attn({"models"}).out, HasSubstr("6 x 12"));
  EXPECT_EQ(Attn({"estimate", "--tokens", "16"}).code, kExitOk);
  EXPECT_EQ(Attn({"estimate", "--tokens", "512"}).code, kExitFailed);
  EXPECT_THAT(Attn({"bench", "--duration", "0.05", "--warmup", "0", "-o", "json"}).out, HasSubstr("latency_p99_ms"));
  EXPECT_THAT(Attn({"bench", "--duration", "0.05", "--warmup", "0", "--rate", "500", "-o", "csv"}).out,
              HasSubstr("open loop, 500 calls/s offered"));
}

TEST_F(AttnTest, HealthByExitCode) {
  EXPECT_EQ(Attn({"health"}).code, kExitOk);
  EXPECT_EQ(Attn({"health", "--model", "draining"}).code, kExitFailed);
  EXPECT_EQ(Attn({"health", "--model", "absent"}).code, kExitFailed);
}

TEST_F(AttnTest, UsageErrorsAreTwo) {
  EXPECT_EQ(Attn({}).code, kExitUsage);
  const Outcome unknown = Attn({"atend", "a text"});
  EXPECT_EQ(unknown.code, kExitUsage);
  EXPECT_THAT(unknown.err, HasSubstr("no such verb: atend; did you mean attend? The verbs: embed, classify, "));
  EXPECT_THAT(Attn({"fly"}).err, testing::Not(HasSubstr("did you mean")));
  EXPECT_EQ(Attn({"embed", "--format", "xml", "a"}).code, kExitUsage);
  EXPECT_EQ(Attn({"attend"}).code, kExitUsage);
  EXPECT_EQ(Attn({"attend", "a", "--layer", "3", "--head", "L3H5"}).code, kExitUsage);
  EXPECT_EQ(Attn({"embed", "--help"}).code, kExitOk);
  EXPECT_EQ(Attn({"--version"}).code, kExitOk);
}

TEST_F(AttnTest, NoServerIsThreeAndNamesTheAddress) {
  address_ = "127.0.0.1:1";
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"models"}, {"embed", "a"}, {"attend", "a"}, {"health"}, {"bench"}}) {
    const Outcome run = Attn(verb);
    EXPECT_EQ(run.code, kExitUnreachable) << verb[0];
    EXPECT_THAT(run.err, HasSubstr("no server at 127.0.0.1:1")) << verb[0];
  }
  EXPECT_EQ(Attn({"stats", "--once", "--metrics", "127.0.0.1:1"}).code, kExitUnreachable);
}

}  // namespace
}  // namespace attnd
