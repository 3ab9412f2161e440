#include "client/bench/generate_load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/strings/str_cat.h"
#include "client/bench/connections.h"
#include "client/bench/texts.h"
#include "client/clock.h"

namespace attnd {
namespace {

void Append(std::vector<double>& list, const std::vector<double>& more) {
  list.insert(list.end(), more.begin(), more.end());
}

// The load in progress. Call may run in many threads at once.
class GenerateLoad {
 public:
  GenerateLoad(const ChannelOptions& channel, const GenerateSettings& settings,
               const std::vector<v1::TokenIds>& prompts)
      : settings_(settings), prompts_(prompts), clients_(ConnectedClients(channel, settings.connections)) {
    begin_ = Clock::now();
    measured_ = begin_ + Span(settings.warmup_s);
    end_ = measured_ + Span(settings.duration_s);
  }

  // One caller.
  void Call(int caller) {
    const Client& client = *clients_[static_cast<size_t>(caller) % clients_.size()];
    GenerateResult own;
    while (Clock::now() < end_) {
      const grpc::Status status = Answer(client, own);
      if (status.ok() || Clock::now() >= end_) continue;
      ++own.errors[status.error_code()];
      if (own.first_error.empty()) own.first_error = client.Message(status);
      // A server that refuses at once is not to be hammered.
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::lock_guard lock(mutex_);
    result_.tokens += own.tokens;
    Append(result_.first_token_ms, own.first_token_ms);
    Append(result_.inter_token_ms, own.inter_token_ms);
    Append(result_.answers_ms, own.answers_ms);
    for (const auto& [code, count] : own.errors) result_.errors[code] += count;
    if (result_.first_error.empty()) result_.first_error = own.first_error;
  }

  double Share() const { return std::clamp(Ms(Clock::now() - begin_) / Ms(end_ - begin_), 0.0, 1.0); }

  // After all callers.
  GenerateResult Finish() {
    std::lock_guard lock(mutex_);
    result_.seconds = settings_.duration_s;
    return std::move(result_);
  }

 private:
  grpc::Status Answer(const Client& client, GenerateResult& own) {
    v1::GenerateRequest request;
    request.set_model(settings_.model);
    *request.mutable_input_ids() = prompts_[next_.fetch_add(1) % prompts_.size()];
    *request.mutable_options() = settings_.options;
    request.mutable_options()->set_max_tokens(static_cast<uint32_t>(settings_.answer_tokens));
    request.mutable_options()->set_ignore_eos(true);
    if (settings_.attention) *request.mutable_attention() = *settings_.attention;
    grpc::ClientContext context;
    client.PrepareGeneration(context);
    const Clock::time_point begin = Clock::now();
    const bool counts = begin >= measured_;
    const auto reader = client.stub().Generate(&context, request);
    v1::GenerateResponse event;
    Clock::time_point last = begin;
    int tokens = 0;
    while (reader->Read(&event)) {
      const Clock::time_point now = Clock::now();
      if (now >= end_) {
        context.TryCancel();
        break;
      }
      if (!event.has_delta()) continue;
      if (now >= measured_) {
        ++own.tokens;
        if (tokens > 0 && last >= measured_) own.inter_token_ms.push_back(Ms(now - last));
        if (tokens == 0 && counts) own.first_token_ms.push_back(Ms(now - begin));
      }
      ++tokens;
      last = now;
    }
    const grpc::Status status = reader->Finish();
    if (status.ok() && counts) own.answers_ms.push_back(Ms(last - begin));
    return status;
  }

  const GenerateSettings& settings_;
  const std::vector<v1::TokenIds>& prompts_;
  std::vector<std::unique_ptr<Client>> clients_;
  Clock::time_point begin_, measured_, end_;  // constant after construction
  std::atomic<uint64_t> next_{0};

  std::mutex mutex_;
  GenerateResult result_;  // guarded by mutex_
};

}  // namespace

absl::StatusOr<std::vector<v1::TokenIds>> MakePrompts(const Client& client, const GenerateSettings& settings, int count,
                                                      grpc::Status& status) {
  std::vector<v1::TokenIds> prompts;
  for (int i = 0; i < count; ++i) {
    // A word is a token at least; MakeTexts' texts are of at most 350 words, so several make one.
    std::string text;
    for (uint32_t part = 0, words = 0; words < static_cast<uint32_t>(settings.prompt_tokens); ++part) {
      const uint32_t seed = settings.seed + static_cast<uint32_t>(i) * 1000003U + part * 7919U;
      const std::string more = MakeTexts(1, 64, seed)[0];
      words += static_cast<uint32_t>(std::count(more.begin(), more.end(), ' ')) + 1;
      absl::StrAppend(&text, text.empty() ? "" : " ", more);
    }
    v1::TokenizeRequest request;
    request.set_model(settings.model);
    request.add_texts(text);
    grpc::ClientContext context;
    client.Prepare(context);
    v1::TokenizeResponse response;
    status = client.stub().Tokenize(&context, request, &response);
    if (!status.ok()) return absl::UnavailableError(status.error_message());
    if (response.texts_size() != 1 || response.texts(0).tokens_size() < settings.prompt_tokens) {
      return absl::DataLossError("the server's tokens are fewer than the text's words");
    }
    v1::TokenIds ids;
    for (int t = 0; t < settings.prompt_tokens; ++t) ids.add_ids(response.texts(0).tokens(t).id());
    prompts.push_back(std::move(ids));
  }
  return prompts;
}

GenerateResult RunGenerateLoad(const ChannelOptions& channel, const GenerateSettings& settings,
                               const std::vector<v1::TokenIds>& prompts, const std::function<void(double)>& progress) {
  GenerateLoad load(channel, settings, prompts);
  std::atomic<int> running{settings.concurrency};
  std::vector<std::thread> threads;
  for (int i = 0; i < settings.concurrency; ++i) {
    threads.emplace_back([&load, &running, i] {
      load.Call(i);
      --running;
    });
  }
  while (running > 0) {
    progress(load.Share());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // how often the progress line moves
  }
  for (std::thread& thread : threads) thread.join();
  return load.Finish();
}

}  // namespace attnd
