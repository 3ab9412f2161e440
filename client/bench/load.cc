#include "client/bench/load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <thread>

#include "client/bench/connections.h"
#include "client/clock.h"

namespace attnd {
namespace {

// The load in progress. Thread-safe.
class Load {
 public:
  Load(const ChannelOptions& channel, const LoadSettings& settings, const std::vector<std::string>& texts)
      : settings_(settings), texts_(texts), clients_(ConnectedClients(channel, settings.connections)) {
    begin_ = Clock::now();
    measured_ = begin_ + Span(settings.warmup_s);
    end_ = measured_ + Span(settings.duration_s);
    measuring_ = settings.concurrency;
  }

  // One caller of the closed loop. It goes on until no caller's call reaches into the window, so that the last ones are
  // not answered with fewer callers.
  void Call(int caller) {
    const Client& client = *clients_[caller % clients_.size()];
    std::vector<CallSample> samples;
    std::string error;
    v1::EmbedResponse response;  // of every call: megabytes of maps do not ask for new pages each time
    for (bool measured = true;;) {
      const Clock::time_point start = Clock::now();
      if (measured && start >= end_) {
        measured = false;
        --measuring_;
      }
      if (measuring_ == 0) break;
      const v1::EmbedRequest request = NextRequest();
      grpc::ClientContext context;
      client.Prepare(context);
      response.Clear();
      const grpc::Status status = client.stub().Embed(&context, request, &response);
      if (!status.ok() && error.empty()) error = client.Message(status);
      const Clock::time_point now = Clock::now();
      if (measured && now >= measured_) {
        samples.push_back(Sample(Ms(now - start), status, response));
        samples.back().share = Ms(std::min(now, end_) - std::max(start, measured_)) / std::max(1e-9, Ms(now - start));
        samples.back().ended = now < end_;
      }
      // A server that refuses at once is not to be hammered.
      if (!status.ok()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    Keep(std::move(samples), error);
  }

  // All of the open loop: Poisson arrivals until the end, then waits for what is under way.
  void Arrive() {
    std::mt19937_64 random(settings_.seed);
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    for (Clock::time_point due = begin_; due < end_;) {
      std::this_thread::sleep_until(due);
      Start(due);
      due += Span(-std::log(1.0 - uniform(random)) / settings_.rate);
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return under_way_ == 0; });
  }

  double Share() const { return std::clamp(Ms(Clock::now() - begin_) / Ms(end_ - begin_), 0.0, 1.0); }

  LoadResult Finish() {
    std::lock_guard lock(mutex_);
    result_.seconds = settings_.rate == 0 ? settings_.duration_s : std::max(1e-9, Ms(last_ - measured_) / 1e3);
    return std::move(result_);
  }

 private:
  struct Open {
    grpc::ClientContext context;
    v1::EmbedRequest request;
    v1::EmbedResponse response;
  };

  v1::EmbedRequest NextRequest() {
    v1::EmbedRequest request;
    request.set_model(settings_.model);
    request.set_truncate(settings_.truncate);
    if (settings_.attention.has_value()) *request.mutable_attention() = *settings_.attention;
    const uint64_t first = next_.fetch_add(settings_.texts_per_call);
    for (int i = 0; i < settings_.texts_per_call; ++i) request.add_texts(texts_[(first + i) % texts_.size()]);
    return request;
  }

  void Start(Clock::time_point due) {
    auto open = std::make_shared<Open>();
    open->request = NextRequest();
    const Client& client = *clients_[turn_++ % clients_.size()];
    client.Prepare(open->context);
    {
      std::lock_guard lock(mutex_);
      ++under_way_;
    }
    client.stub().async()->Embed(&open->context, &open->request, &open->response,
                                 [this, open, due, &client](const grpc::Status& status) {
                                   const double latency_ms = Ms(Clock::now() - due);
                                   std::vector<CallSample> samples;
                                   if (due >= measured_) samples.push_back(Sample(latency_ms, status, open->response));
                                   Keep(std::move(samples), status.ok() ? "" : client.Message(status));
                                   std::lock_guard lock(mutex_);
                                   --under_way_;
                                   changed_.notify_all();
                                 });
  }

  static CallSample Sample(double latency_ms, const grpc::Status& status, const v1::EmbedResponse& response) {
    return {latency_ms, response.timings(), response.tokens(), status.error_code()};
  }

  void Keep(std::vector<CallSample> samples, const std::string& error) {
    std::lock_guard lock(mutex_);
    if (result_.first_error.empty()) result_.first_error = error;
    if (!samples.empty()) last_ = Clock::now();
    std::move(samples.begin(), samples.end(), std::back_inserter(result_.samples));
  }

  const LoadSettings& settings_;
  const std::vector<std::string>& texts_;
  std::vector<std::unique_ptr<Client>> clients_;
  Clock::time_point begin_, measured_, end_;  // constant after construction
  std::atomic<uint64_t> next_{0};
  std::atomic<int> measuring_;  // callers of the closed loop whose calls may reach into the window
  uint64_t turn_ = 0;           // of the open loop's thread

  std::mutex mutex_;
  std::condition_variable changed_;
  int under_way_ = 0;       // guarded by mutex_
  Clock::time_point last_;  // guarded by mutex_
  LoadResult result_;       // guarded by mutex_
};

}  // namespace

LoadResult RunLoad(const ChannelOptions& channel, const LoadSettings& settings, const std::vector<std::string>& texts,
                   const std::function<void(double)>& progress) {
  Load load(channel, settings, texts);
  std::vector<std::thread> threads;
  std::atomic<int> running{0};
  const auto spawn = [&](auto work) {
    ++running;
    threads.emplace_back([&running, work] {
      work();
      --running;
    });
  };
  if (settings.rate > 0) {
    spawn([&load] { load.Arrive(); });
  } else {
    for (int i = 0; i < settings.concurrency; ++i) spawn([&load, i] { load.Call(i); });
  }
  while (running > 0) {
    progress(load.Share());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // how often the progress line moves
  }
  for (std::thread& thread : threads) thread.join();
  return load.Finish();
}

}  // namespace attnd
