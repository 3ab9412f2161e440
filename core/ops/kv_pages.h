// KvPages: the keys and values of a decoder in pages of 16 tokens, laid out as its attention reads them.
// "Efficient Memory Management for Large Language Model Serving with PagedAttention", Kwon et al., 2023.
#ifndef ATTND_CORE_OPS_KV_PAGES_H_
#define ATTND_CORE_OPS_KV_PAGES_H_

#include <cstddef>
#include <cstdint>

namespace attnd {

// kInt8: one scale a token and head, for keys and values each.
enum class KvType { kF32, kBf16, kInt8 };

struct KvShape {
  int layers = 0;
  int key_heads = 0;
  int head_dim = 0;  // of keys and values
  KvType type = KvType::kF32;
};

// Storage only: who owns which page is the caller's business (core/engine/kv_cache.h). Threads may write different
// (page, slot)s and read whatever no other thread writes at the time. Memory is taken from the system as pages are
// first written; what was never written reads as zeros.
class KvPages {
 public:
  static constexpr int kTokens = 16;  // slots of a page

  KvPages(const KvShape& shape, int pages);
  ~KvPages();
  KvPages(const KvPages&) = delete;
  KvPages& operator=(const KvPages&) = delete;

  const KvShape& shape() const { return shape_; }
  int pages() const { return pages_; }
  static int64_t BytesPerPage(const KvShape& shape);

  // Stores the keys and values of `rows` consecutive tokens of one head: token r at position first + r, which is slot
  // (first + r) % 16 of page table[(first + r) / 16].
  void Write(int layer, int key_head, const int32_t* table, int first, int rows,
             const float* key /* [rows, stride], head_dim used */, const float* value /* [rows, stride] */,
             int64_t stride);

  // One head's block of a page: keys transposed [head_dim, 16], values [16, head_dim], both of the element type, then
  // for kInt8 the keys' scales [16] and the values' [16], f32.
  const std::byte* Block(int layer, int page, int key_head) const {
    return data_ + ((int64_t{layer} * pages_ + page) * shape_.key_heads + key_head) * block_bytes_;
  }
  int64_t block_bytes() const { return block_bytes_; }

  // The block as f32, whatever its type: a pointer into it, or to `scratch`.
  // Keys [head_dim, 16], values [16, head_dim]; scratch holds 2 * 16 * head_dim floats.
  const float* ReadF32(int layer, int page, int key_head, float* scratch) const;

 private:
  static int64_t BlockBytes(const KvShape& shape);

  const KvShape shape_;
  const int pages_;
  const int64_t block_bytes_;
  int64_t bytes_ = 0;
  std::byte* data_ = nullptr;  // [layers, pages, key_heads] blocks, owned, mapped
};

}  // namespace attnd

#endif  // ATTND_CORE_OPS_KV_PAGES_H_
