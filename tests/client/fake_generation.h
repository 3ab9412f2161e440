// A small server of Generate, Chat and Score: it goes on with the words of a fixed answer.
#ifndef ATTND_TESTS_CLIENT_FAKE_GENERATION_H_
#define ATTND_TESTS_CLIENT_FAKE_GENERATION_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "attnd/v1/attnd.grpc.pb.h"

namespace attnd {

// Prompt tokens are words with the space before them. Head h of layer l of two by two looks at the token
// (query - l - h), the mean of all heads at all of those alike; the last answer token is the last word.
class FakeGeneration : public v1::Attnd::Service {
 public:
  std::vector<std::string> words = {" sat", " on", " a", " m\xC3\xA4t", "."};
  std::function<void(grpc::ServerContext*, int)> before_token;  // called before each
  std::mutex mutex;
  v1::GenerateRequest last_request;  // guarded by mutex while calls are under way
  v1::ChatRequest last_chat;         // the same

  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override {
    {
      std::lock_guard lock(mutex);
      last_request = *request;
    }
    if (request->options().temperature() < 0) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "options.temperature: -1 is not 0 to 100"};
    }
    std::vector<v1::Token> prompt = Tokens(request->text());
    for (const int32_t id : request->input_ids().ids()) prompt.emplace_back().set_id(id);
    return Stream(context, prompt, request->options(), request->has_attention() ? &request->attention() : nullptr,
                  writer);
  }

  grpc::Status Chat(grpc::ServerContext* context, const v1::ChatRequest* request,
                    grpc::ServerWriter<v1::GenerateResponse>* writer) override {
    {
      std::lock_guard lock(mutex);
      last_chat = *request;
    }
    const std::string& message = request->messages(request->messages_size() - 1).content();
    if (message == "bad") return {grpc::StatusCode::INVALID_ARGUMENT, "messages[0].content: it is bad"};
    return Stream(context, Tokens(message), request->options(),
                  request->has_attention() ? &request->attention() : nullptr, writer);
  }

  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    for (const std::string& text : request->texts()) {
      auto& tokenized = *response->add_texts();
      for (const v1::Token& token : Tokens(text)) *tokenized.add_tokens() = token;
    }
    return grpc::Status::OK;
  }

  grpc::Status Score(grpc::ServerContext*, const v1::ScoreRequest* request, v1::ScoreResponse* response) override {
    response->set_model("fake");
    for (const std::string& text : request->continuations()) {
      auto* scored = response->add_continuations();
      for (const v1::Token& token : Tokens(text)) {
        *scored->add_tokens() = token;
        scored->add_logprobs(-0.5F * static_cast<float>(token.end() - token.begin()));
        scored->set_logprob(scored->logprob() + scored->logprobs(scored->logprobs_size() - 1));
      }
      scored->set_greedy(text == " Paris");
    }
    return grpc::Status::OK;
  }

  static std::vector<v1::Token> Tokens(const std::string& text) {
    std::vector<v1::Token> tokens;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find(' ', begin + 1), text.size());
      v1::Token token;
      token.set_id(static_cast<int>(tokens.size()) + 10);
      const std::string piece = text.substr(begin, end - begin);
      token.set_text(piece[0] == ' ' ? "\xC4\xA0" + piece.substr(1) : piece);
      token.set_begin(static_cast<uint32_t>(piece[0] == ' ' ? begin + 1 : begin));
      token.set_end(static_cast<uint32_t>(end));
      tokens.push_back(token);
      begin = end;
    }
    return tokens;
  }

 private:
  static std::string HalfRow(const std::vector<float>& row) {
    std::string bytes;
    for (const float weight : row) {  // 0, 0.25, 0.5, 0.75 or 1
      const uint16_t bits = weight == 0       ? 0
                            : weight == 0.25F ? 0x3400
                            : weight == 0.5F  ? 0x3800
                            : weight == 0.75F ? 0x3A00
                                              : 0x3C00;
      bytes.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
    }
    return bytes;
  }

  static void Attend(const v1::GenerationAttention& wanted, int query, v1::TokenAttention& attention) {
    attention.set_query(static_cast<uint32_t>(query));
    attention.set_columns(static_cast<uint32_t>(query + 1));
    std::vector<float> mean(static_cast<size_t>(query) + 1);
    for (int layer = 0; layer < 2; ++layer) {
      for (int head = 0; head < 2; ++head) {
        std::vector<float> row(mean.size());
        const size_t key = static_cast<size_t>(std::max(0, query - layer - head));
        row[key] = 1;
        mean[key] += 0.25F;
        if (wanted.reduce() == v1::ATTENTION_REDUCE_NONE) *attention.mutable_values() += HalfRow(row);
        if (wanted.content() != v1::ATTENTION_CONTENT_MAPS) {
          attention.add_entropy(static_cast<float>(head));
          attention.add_sink_mass(row[0]);
          attention.add_lookback_ratio(0.5F);
          attention.add_copy_mass(0.125F);
        }
      }
    }
    if (wanted.reduce() == v1::ATTENTION_REDUCE_HEAD_MEAN) *attention.mutable_values() += HalfRow(mean);
  }

  grpc::Status Stream(grpc::ServerContext* context, const std::vector<v1::Token>& tokens,
                      const v1::GenerationOptions& options, const v1::GenerationAttention* attention,
                      grpc::ServerWriter<v1::GenerateResponse>* writer) {
    v1::GenerateResponse event;
    auto& start = *event.mutable_start();
    start.set_model("fake");
    for (const v1::Token& token : tokens) *start.add_prompt() = token;
    const int prompt = start.prompt_size();
    const bool mean = attention != nullptr && attention->reduce() == v1::ATTENTION_REDUCE_HEAD_MEAN;
    for (int h = 0; attention != nullptr && h < (mean ? 1 : 4); ++h) {
      start.add_attention_layers(mean ? -1 : h / 2);
      start.add_attention_heads(mean ? -1 : h % 2);
    }
    writer->Write(event);
    const int answers = std::max(1, static_cast<int>(options.n()));
    const int count = options.has_max_tokens() ? std::min<int>(static_cast<int>(options.max_tokens()), 5) : 5;
    for (int i = 0; i < count; ++i) {
      if (before_token) before_token(context, i);
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      for (int answer = 0; answer < answers; ++answer) {
        auto& delta = *event.mutable_delta();
        delta.Clear();
        delta.set_answer(static_cast<uint32_t>(answer));
        delta.set_index(static_cast<uint32_t>(i));
        delta.set_id(100 + i);
        delta.set_text(words[static_cast<size_t>(i)]);
        if (options.has_logprobs()) {
          delta.set_logprob(-0.25F);
          auto* top = delta.add_top();
          top->set_token("\xC4\xA0lay");
          top->set_logprob(-2);
        }
        if (attention != nullptr) Attend(*attention, prompt + i - 1, *delta.mutable_attention());
        writer->Write(event);
      }
    }
    for (int answer = 0; answer < answers; ++answer) {
      auto& end = *event.mutable_end();
      end.set_answer(static_cast<uint32_t>(answer));
      end.set_reason(count < 5 ? v1::FINISH_REASON_LENGTH : v1::FINISH_REASON_STOP);
      end.set_tokens(static_cast<uint32_t>(count));
      end.set_seed(42);
      writer->Write(event);
    }
    auto& summary = *event.mutable_summary();
    summary.set_prompt_tokens(static_cast<uint32_t>(prompt));
    summary.set_generated_tokens(static_cast<uint32_t>(count * answers));
    if (options.prompt_logprobs()) {
      for (int i = 1; i < prompt; ++i) summary.add_prompt_logprobs(-1);
    }
    writer->Write(event);
    return grpc::Status::OK;
  }
};

}  // namespace attnd

#endif  // ATTND_TESTS_CLIENT_FAKE_GENERATION_H_
