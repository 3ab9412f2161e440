// RecycledBuffer: large memory that lives for one call and is used again by the next.
#ifndef ATTND_CORE_BASE_RECYCLED_BUFFER_H_
#define ATTND_CORE_BASE_RECYCLED_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "core/base/aligned.h"

namespace attnd {

// Bytes aligned to 64, not initialised. Move-only. The system clears what it gives: for the attention maps of a call
// that costs as much as to write them. So all buffers of a process lie in one range of addresses, each at the lowest
// place that is free, and up to kKeptBytes of freed memory stay with the process. Any thread may make and free one.
class RecycledBuffer {
 public:
  static constexpr size_t kKeptBytes = size_t{256} << 20;

  RecycledBuffer() = default;
  explicit RecycledBuffer(size_t size);
  RecycledBuffer(RecycledBuffer&& other) noexcept { *this = std::move(other); }
  RecycledBuffer& operator=(RecycledBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(small_, other.small_);
    return *this;
  }
  ~RecycledBuffer();

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

  // Freed memory that the process keeps now; at most kKeptBytes.
  static size_t kept_bytes();

 private:
  uint8_t* data_ = nullptr;  // in the range, or small_.data()
  size_t size_ = 0;
  // Below 64 KiB, where the allocator's caches serve, and what the range has no room for.
  AlignedBuffer<uint8_t> small_;
};

}  // namespace attnd

#endif  // ATTND_CORE_BASE_RECYCLED_BUFFER_H_
