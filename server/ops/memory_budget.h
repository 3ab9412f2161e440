// MemoryBudget: a bound on what all calls together may hold of one kind of memory.
#ifndef ATTND_SERVER_OPS_MEMORY_BUDGET_H_
#define ATTND_SERVER_OPS_MEMORY_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <utility>

namespace attnd {

// Thread-safe. Never blocks: what is not there is refused.
class MemoryBudget {
 public:
  explicit MemoryBudget(int64_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // Bytes taken, until it goes. Empty after a move.
  class Lease {
   public:
    Lease() = default;
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Lease() {
      if (budget_ != nullptr) budget_->used_bytes_.fetch_sub(bytes_, std::memory_order_relaxed);
    }

   private:
    friend class MemoryBudget;
    MemoryBudget* budget_ = nullptr;
    int64_t bytes_ = 0;
  };

  // Adds `bytes` (at least 0) to what `lease` holds; false when they are not there, and nothing has changed. All takes
  // of a lease are from one budget, which outlives it.
  bool Take(int64_t bytes, Lease& lease) {
    int64_t used = used_bytes_.load(std::memory_order_relaxed);
    do {
      if (bytes > limit_bytes_ - used) return false;
    } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    lease.budget_ = this;
    lease.bytes_ += bytes;
    return true;
  }

  int64_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  int64_t limit_bytes() const { return limit_bytes_; }

 private:
  const int64_t limit_bytes_;
  std::atomic<int64_t> used_bytes_{0};
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_MEMORY_BUDGET_H_
