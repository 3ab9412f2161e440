// A small server of an encoder and of its health.
#ifndef ATTND_TESTS_CLIENT_FAKE_ENCODER_H_
#define ATTND_TESTS_CLIENT_FAKE_ENCODER_H_

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attnd/v1/attnd.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace attnd {

// Words are tokens between [CLS] and [SEP]; a text of more than 8 tokens is too long. Vectors have 2 dimensions.
class FakeEncoder : public v1::Attnd::Service {
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

  grpc::Status Embed(grpc::ServerContext*, const v1::EmbedRequest* request, v1::EmbedResponse* response) override {
    response->set_dimensions(2);
    for (int i = 0; i < request->texts_size(); ++i) {
      const auto count = static_cast<uint32_t>(Tokens(request->texts(i)).size());
      if (count > 8 && request->truncate() == v1::TRUNCATION_REFUSE) {
        return {grpc::StatusCode::INVALID_ARGUMENT, "texts[" + std::to_string(i) + "]: the text has " +
                                                        std::to_string(count) + " tokens, at most 8 are allowed"};
      }
      const float angle = static_cast<float>(count);
      const float values[2] = {std::cos(angle), std::sin(angle)};
      response->mutable_vectors()->append(reinterpret_cast<const char*>(values), sizeof(values));
      response->add_texts()->set_tokens(count);
      response->set_tokens(response->tokens() + count);
    }
    return grpc::Status::OK;
  }

  grpc::Status EmbedStream(grpc::ServerContext* context,
                           grpc::ServerReaderWriter<v1::EmbedStreamResponse, v1::EmbedStreamRequest>* stream) override {
    v1::EmbedStreamRequest request;
    while (stream->Read(&request)) {
      v1::EmbedStreamResponse response;
      response.set_id(request.id());
      const grpc::Status status = Embed(context, &request.request(), response.mutable_response());
      if (!status.ok()) {
        response.mutable_error()->set_code(status.error_code());
        response.mutable_error()->set_message(status.error_message());
      }
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  grpc::Status Attend(grpc::ServerContext*, const v1::AttendRequest* request,
                      grpc::ServerWriter<v1::AttendFrame>* writer) override {
    const auto tokens = Tokens(request->text());
    const int n = static_cast<int>(tokens.size());
    if (request->attention().select() == "9:*") {
      return {grpc::StatusCode::INVALID_ARGUMENT, "attention.select: layer 9 of item 1 is not below 6"};
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
    const bool repeats = request->text() == "the cat the cat";
    for (const int wanted : request->attention().statistics()) {  // these two come only where asked for by name
      if (wanted == v1::ATTENTION_STATISTIC_INDUCTION) statistics.add_induction(repeats ? 0.25F : 0);
      if (wanted == v1::ATTENTION_STATISTIC_DUPLICATE) statistics.add_duplicate(0);
    }
    writer->Write(trailer);
    return grpc::Status::OK;
  }

  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    for (const auto& text : request->texts()) {
      auto& tokenized = *response->add_texts();
      for (const auto& token : Tokens(text)) *tokenized.add_tokens() = token;
    }
    return grpc::Status::OK;
  }

  grpc::Status EstimateAttention(grpc::ServerContext*, const v1::EstimateAttentionRequest* request,
                                 v1::EstimateAttentionResponse* response) override {
    response->set_tokens(request->tokens());
    response->mutable_attention()->set_total_bytes(4096);
    response->set_allowed(request->tokens() < 512);
    return grpc::Status::OK;
  }

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    auto& model = *response->add_models();
    model.set_name("fake");
    model.set_layers(6);
    model.set_heads(12);
    return grpc::Status::OK;
  }
};

class FakeHealth : public grpc::health::v1::Health::Service {
 public:
  grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override {
    if (request->service() == "absent") return {grpc::StatusCode::NOT_FOUND, "unknown"};
    using Response = grpc::health::v1::HealthCheckResponse;
    response->set_status(request->service() == "draining" ? Response::NOT_SERVING : Response::SERVING);
    return grpc::Status::OK;
  }
};

}  // namespace attnd

#endif  // ATTND_TESTS_CLIENT_FAKE_ENCODER_H_
