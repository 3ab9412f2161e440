// AlignedBuffer: cache-line aligned scratch and weights.
#ifndef ATTND_CORE_BASE_ALIGNED_H_
#define ATTND_CORE_BASE_ALIGNED_H_

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace attnd {

// The least multiple of `to` that is at least `n`.
constexpr int RoundUp(int n, int to) { return (n + to - 1) / to * to; }

// A buffer of trivially copyable T, aligned to 64 bytes, not initialised. Move-only.
template <typename T>
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t size) : data_(Allocate(size)), size_(size) {}
  AlignedBuffer(AlignedBuffer&& other) noexcept : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr;
    other.size_ = 0;
  }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    if (this != &other) {
      Free();
      data_ = other.data_;
      size_ = other.size_;
      other.data_ = nullptr;
      other.size_ = 0;
    }
    return *this;
  }
  ~AlignedBuffer() { Free(); }

  // Makes room for `size` elements; the contents are lost when it grows.
  void Reserve(size_t size) {
    if (size > size_) *this = AlignedBuffer(size);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  static constexpr size_t kHugePage = size_t{2} << 20;
  // Large buffers ask for huge pages: streaming weights otherwise misses the TLB on every row.
  static bool Huge(size_t size) { return size * sizeof(T) >= 2 * kHugePage; }
  static std::align_val_t Alignment(size_t size) { return std::align_val_t{Huge(size) ? kHugePage : 64}; }
  static T* Allocate(size_t size) {
    if (size == 0) return nullptr;
    void* data = ::operator new(size * sizeof(T), Alignment(size));
    if (Huge(size)) madvise(data, size * sizeof(T), MADV_HUGEPAGE);
    return static_cast<T*>(data);
  }
  void Free() {
    if (data_ != nullptr) ::operator delete(data_, Alignment(size_));
  }
  T* data_ = nullptr;  // owned
  size_t size_ = 0;    // elements
};

}  // namespace attnd

#endif  // ATTND_CORE_BASE_ALIGNED_H_
