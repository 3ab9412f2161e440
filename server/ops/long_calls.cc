#include "server/ops/long_calls.h"

#include <utility>

namespace attnd {

LongCalls::LongCalls(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Loop(); });
}

void LongCalls::Add(Work work) {
  absl::MutexLock lock(&mutex_);
  waiting_.push_back(std::move(work));
}

void LongCalls::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void LongCalls::Loop() {
  while (true) {
    Work work;
    {
      const auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stopped_ || !waiting_.empty(); };
      absl::MutexLock lock(&mutex_, absl::Condition(&ready));
      if (waiting_.empty()) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    std::move(work)();
  }
}

}  // namespace attnd
