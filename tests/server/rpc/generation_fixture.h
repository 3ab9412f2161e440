// A whole server over a golden decoder, and calls of Generate that collect what comes.
#ifndef ATTND_TESTS_SERVER_RPC_GENERATION_FIXTURE_H_
#define ATTND_TESTS_SERVER_RPC_GENERATION_FIXTURE_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/golden/greedy_answers.h"
#include "tests/server/rpc/fixture.h"

namespace attnd {

// What came of one call.
struct Generated {
  grpc::Status status;
  int starts = 0;
  v1::GenerationStart start;
  std::map<uint32_t, std::vector<v1::GenerationDelta>> deltas;  // by answer
  std::map<uint32_t, v1::GenerationEnd> ends;
  v1::GenerationSummary summary;

  std::string Text(uint32_t answer = 0) const {
    std::string text;
    if (deltas.count(answer) == 0) return text;
    for (const auto& delta : deltas.at(answer)) text += delta.text();
    return text;
  }
  std::vector<int32_t> Ids(uint32_t answer = 0) const {
    std::vector<int32_t> ids;
    if (deltas.count(answer) == 0) return ids;
    for (const auto& delta : deltas.at(answer)) ids.push_back(delta.id());
    return ids;
  }
};

// A call that is read event by event.
class GenerateStream {
 public:
  GenerateStream(v1::Attnd::Stub& stub, const v1::GenerateRequest& request)
      : reader_(stub.Generate(&context_, request)) {}
  // False at the end.
  bool Read() {
    v1::GenerateResponse event;
    if (!reader_->Read(&event)) return false;
    if (event.has_start()) {
      ++result_.starts;
      result_.start = event.start();
    } else if (event.has_delta()) {
      auto& deltas = result_.deltas[event.delta().answer()];
      EXPECT_EQ(event.delta().index(), deltas.size());
      EXPECT_EQ(result_.ends.count(event.delta().answer()), 0u);
      deltas.push_back(event.delta());
    } else if (event.has_end()) {
      EXPECT_EQ(event.end().tokens(), result_.deltas[event.end().answer()].size());
      result_.ends[event.end().answer()] = event.end();
    } else {
      result_.summary = event.summary();
    }
    return true;
  }
  Generated& Finish() {
    while (Read()) {
    }
    result_.status = reader_->Finish();
    return result_;
  }
  grpc::ClientContext& context() { return context_; }
  const Generated& so_far() const { return result_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateResponse>> reader_;
  Generated result_;
};

class GenerationServerTest : public ServerTest {
 protected:
  explicit GenerationServerTest(const std::string& model = "llama") : ServerTest(model) {}

  // The prompt of golden case i, to be continued as the reference was: most probable tokens, no end token.
  v1::GenerateRequest Request(size_t i = 0) const {
    const std::vector<int32_t> ids = golden::GreedyPrompt(golden_, i);
    v1::GenerateRequest request;
    request.mutable_input_ids()->mutable_ids()->Add(ids.begin(), ids.end());
    request.mutable_options()->set_temperature(0);
    request.mutable_options()->set_max_tokens(24);
    request.mutable_options()->set_min_tokens(24);
    return request;
  }
  // Tens of thousands of events of a kilobyte each: no client's window holds them all.
  static v1::GenerateRequest Endless() {
    v1::GenerateRequest request;
    request.mutable_input_ids()->add_ids(5);
    request.mutable_options()->set_max_tokens(500);
    request.mutable_options()->set_ignore_eos(true);
    request.mutable_options()->set_n(16);
    request.mutable_options()->set_logprobs(20);
    return request;
  }

  Generated Generate(const v1::GenerateRequest& request) {
    GenerateStream stream(*stub_, request);
    return std::move(stream.Finish());
  }
  // The fields that a refusal names.
  void ExpectRefused(const std::function<void(v1::GenerateRequest&)>& change, const std::string& field,
                     const std::string& words) {
    v1::GenerateRequest request = Request();
    change(request);
    const Generated result = Generate(request);
    ExpectInvalid(result.status, field, words);
    EXPECT_EQ(result.starts, 0);
  }
  GeneratorStats Stats() { return Served().decoder->generator().Stats(); }
  // Idle, with no page of the cache in use.
  bool Idle() {
    return ServerTest::Idle() && Eventually([&] { return Stats().pages_used == 0; });
  }
  // It still answers as it should.
  void ExpectWell() {
    const Generated result = Generate(Request());
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    golden::ExpectGreedyAnswer(golden_, 0, result.Ids());
  }
};

}  // namespace attnd

#endif  // ATTND_TESTS_SERVER_RPC_GENERATION_FIXTURE_H_
