// What the queue itself costs: calls submitted and batches formed as fast as threads can, with no model behind.
//   batcher_bench [CLIENTS] [WORKERS] [TEXTS_PER_CALL] [SECONDS]
// Each client waits for its call and submits the next; each worker forms batches of 1,024 tokens and finishes them at
// once. Prints one JSON object: texts and batches a second, and microseconds of one core a text.
#include <atomic>
#include <chrono>
#include <ctime>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/blocking_counter.h"
#include "server/batching/batcher.h"
#include "server/batching/executor.h"

namespace attnd {
namespace {

constexpr int kTokens = 45;  // of a text: the mean of the texts of the other benchmarks

class CountedItem : public QueueItem {
 public:
  explicit CountedItem(absl::BlockingCounter& done) : QueueItem(kTokens), done_(done) {}
  void Finish(const absl::Status&) override { done_.DecrementCount(); }

 private:
  absl::BlockingCounter& done_;
};

int Main(int argc, char** argv) {
  const auto argument = [&](int i, int otherwise) { return argc > i ? std::stoi(argv[i]) : otherwise; };
  const int clients = argument(1, 8), workers = argument(2, 2), texts = argument(3, 32), seconds = argument(4, 2);
  Batcher batcher;
  const auto queue = std::make_shared<ModelQueue>(QueueOptions(), std::vector<std::unique_ptr<Executor>>());
  std::atomic<bool> stop = false;
  std::atomic<int64_t> finished = 0, batches = 0;
  std::vector<std::thread> client_threads, worker_threads;
  const auto start = std::chrono::steady_clock::now();
  const std::clock_t cpu_start = std::clock();
  for (int w = 0; w < workers; ++w) {
    worker_threads.emplace_back([&] {
      Batch batch;
      while (batcher.Next(batch)) {
        ++batches;
        FinishAll(batch.items, absl::OkStatus());
      }
    });
  }
  for (int c = 0; c < clients; ++c) {
    client_threads.emplace_back([&, c] {
      while (!stop) {
        absl::BlockingCounter done(texts);
        CallTicket ticket;
        ticket.queue = queue.get();
        ticket.connection = static_cast<uint64_t>(c) + 1;
        std::vector<std::unique_ptr<CountedItem>> items;
        std::vector<QueueItem*> pointers;
        for (int i = 0; i < texts; ++i) {
          items.push_back(std::make_unique<CountedItem>(done));
          pointers.push_back(items.back().get());
        }
        if (!batcher.Submit(ticket, pointers).ok()) std::abort();
        done.Wait();
        finished += texts;
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  stop = true;
  for (std::thread& thread : client_threads) thread.join();
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double cpu = static_cast<double>(std::clock() - cpu_start) / CLOCKS_PER_SEC;
  batcher.Drain();
  for (std::thread& thread : worker_threads) thread.join();
  std::cout << nlohmann::json{{"clients", clients},
                              {"workers", workers},
                              {"texts_per_call", texts},
                              {"texts_per_second", static_cast<double>(finished) / elapsed},
                              {"batches_per_second", static_cast<double>(batches) / elapsed},
                              {"cpu_us_per_text", 1e6 * cpu / static_cast<double>(finished)}}
            << "\n";
  return 0;
}

}  // namespace
}  // namespace attnd

int main(int argc, char** argv) { return attnd::Main(argc, argv); }
