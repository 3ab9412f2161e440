#include "core/base/recycled_buffer.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <mutex>

#include "hwy/base.h"

namespace attnd {
namespace {

constexpr size_t kRangeBytes = size_t{16} << 30;  // of addresses; memory is taken as it is written
constexpr size_t kLeastBytes = size_t{64} << 10;
constexpr size_t kPage = size_t{64} << 10;  // a multiple of the system's, whatever the CPU
constexpr size_t kHugePage = size_t{2} << 20;

// First fit by address: it keeps what is in use together, low, and gives again what was written last.
class Range {
 public:
  Range() {
    void* const begin =
        mmap(nullptr, kRangeBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (begin == MAP_FAILED) return;  // a limit on addresses: every buffer is the allocator's
    begin_ = static_cast<uint8_t*>(begin);
    madvise(begin_, kRangeBytes, MADV_HUGEPAGE);
    free_[0] = {.bytes = kRangeBytes, .written = 0};
  }

  // Of `wanted` bytes, rounded up to pages; null when there is no room.
  uint8_t* Take(size_t wanted) {
    const size_t size = hwy::RoundUpTo(wanted, kPage);
    std::lock_guard lock(mutex_);
    const auto fits = std::ranges::find_if(free_, [&](const auto& hole) { return hole.second.bytes >= size; });
    if (fits == free_.end()) return nullptr;
    const auto [offset, hole] = *fits;
    free_.erase(fits);
    const Hole rest{.bytes = hole.bytes - size, .written = hole.written - std::min(hole.written, size)};
    if (rest.bytes > 0) free_[offset + size] = rest;
    kept_ -= hole.written - rest.written;
    ASAN_UNPOISON_MEMORY_REGION(begin_ + offset, wanted);
    ASAN_POISON_MEMORY_REGION(begin_ + offset + wanted, size - wanted);
    return begin_ + offset;
  }

  void Give(uint8_t* data, size_t size) {
    size = hwy::RoundUpTo(size, kPage);
    std::lock_guard lock(mutex_);
    ASAN_POISON_MEMORY_REGION(data, size);  // whoever still uses it is found out
    auto hole = free_.emplace(data - begin_, Hole{.bytes = size, .written = size}).first;
    kept_ += size;
    if (const auto next = std::next(hole); next != free_.end() && hole->first + size == next->first) Join(hole, next);
    if (hole != free_.begin()) {
      const auto previous = std::prev(hole);
      if (previous->first + previous->second.bytes == hole->first) Join(previous, hole);
    }
    for (auto last = free_.rbegin(); kept_ > RecycledBuffer::kKeptBytes; ++last) Trim(last->first, last->second);
  }

  size_t kept() {
    std::lock_guard lock(mutex_);
    return kept_;
  }

 private:
  struct Hole {
    size_t bytes;
    size_t written;  // bytes at its begin; of those behind them only the rest of a huge page may be memory
  };
  using Holes = std::map<size_t, Hole>;  // by their offset; no two touch

  void Join(Holes::iterator a, Holes::iterator b) {
    const size_t written = b->second.written == 0 ? a->second.written : a->second.bytes + b->second.written;
    kept_ += written - a->second.written - b->second.written;  // what lay between counts, too, as if it were
    a->second = {.bytes = a->second.bytes + b->second.bytes, .written = written};
    free_.erase(b);
  }

  // Gives the system what is kept too much, from the end of the hole at `offset`.
  void Trim(size_t offset, Hole& hole) {
    const size_t excess = std::min(kept_ - RecycledBuffer::kKeptBytes, hole.written);
    const size_t left = hwy::RoundDownTo(hole.written - excess, kHugePage);
    madvise(begin_ + offset + left, hole.bytes - left, MADV_DONTNEED);
    kept_ -= hole.written - left;
    hole.written = left;
  }

  uint8_t* begin_ = nullptr;
  std::mutex mutex_;
  Holes free_;
  size_t kept_ = 0;  // the sum of `written`
};

Range& TheRange() {
  static Range* const range = new Range;  // outlives every buffer
  return *range;
}

}  // namespace

RecycledBuffer::RecycledBuffer(size_t size) : size_(size) {
  if (size >= kLeastBytes) data_ = TheRange().Take(size);
  if (data_ != nullptr) return;
  small_ = AlignedBuffer<uint8_t>(size);
  data_ = small_.data();
}

RecycledBuffer::~RecycledBuffer() {
  if (data_ != small_.data()) TheRange().Give(data_, size_);
}

size_t RecycledBuffer::kept_bytes() { return TheRange().kept(); }

}  // namespace attnd
