#include "core/base/weight_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <mutex>

#include "core/base/aligned.h"
#include "hwy/base.h"

namespace attnd {
namespace {

using Chunk = AlignedBuffer<std::byte>;

constexpr size_t kChunkBytes = size_t{32} << 20;
constexpr size_t kAlignment = 64;

// A sanitizer sees what is read beyond a buffer of its own.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kShared = false;
#else
constexpr bool kShared = true;
#endif

// The chunk may live on for its other buffers: the whole pages of this one are given back at once.
void GiveBack(std::byte* data, size_t size) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto at = reinterpret_cast<uintptr_t>(data);
  const size_t begin = hwy::RoundUpTo(at, page), end = hwy::RoundDownTo(at + size, page);
  if (begin < end) madvise(data + (begin - at), end - begin, MADV_DONTNEED);
}

struct Current {
  std::mutex mutex;
  std::shared_ptr<Chunk> chunk;
  size_t used = 0;
};

}  // namespace

std::shared_ptr<std::byte> AllocateWeights(size_t size) {
  if (!kShared || size > kChunkBytes / 2) {
    const auto chunk = std::make_shared<Chunk>(size);
    return {chunk, chunk->data()};
  }
  static Current& current = *new Current;  // outlives every buffer
  const std::lock_guard lock(current.mutex);
  if (current.chunk == nullptr || current.used + size > kChunkBytes) {
    current.chunk = std::make_shared<Chunk>(kChunkBytes);
    current.used = 0;
  }
  std::byte* const data = current.chunk->data() + current.used;
  current.used += hwy::RoundUpTo(size, kAlignment);
  return {data, [chunk = current.chunk, size](std::byte* of) { GiveBack(of, size); }};
}

}  // namespace attnd
