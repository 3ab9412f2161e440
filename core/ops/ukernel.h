// Ukernel: one small matrix product C = A B (+ C), the tile that Linear and Attention are made of.
// The only file that knows oneDNN's brgemm ukernel API (experimental, it changes between versions). Where a CPU or a
// build has none, the same tile runs through dnnl::matmul.
#ifndef ATTND_CORE_OPS_UKERNEL_H_
#define ATTND_CORE_OPS_UKERNEL_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <tuple>

namespace attnd {

// The types of A x B -> C.
enum class UkernelData {
  kF32,        // f32 x f32 -> f32
  kBf16,       // bf16 x bf16 -> f32; k even
  kF32Bf16,    // f32 x bf16 -> f32
  kU8S8,       // u8 x s8 -> s32; k a multiple of 4
  kF16,        // f16 x f16 -> f16, f32 from a group of k on: by BlockKernel and RowKernel alone, no Ukernel has it
  kF32S8,      // f32 x s8 with a scale per output and kScaledInputs of k -> f32: by those two alone, too
  kF16S8,      // f16 x s8 with such scales, made f16 first -> f16, f32 from a group of k on: by those two alone
  kF32Slices,  // f32 x f32 -> f32, both as slices (slices.h): by SliceKernel alone
};

// Whether there are ukernels of it.
constexpr bool HasUkernel(UkernelData data) {
  return data != UkernelData::kF16 && data != UkernelData::kF32S8 && data != UkernelData::kF16S8 &&
         data != UkernelData::kF32Slices;
}

// Rows of B that lie interleaved, column by column: B is [k / i, ldb, i].
int UkernelInterleave(UkernelData data);

// Row-major; strides are elements from one row to the next.
struct UkernelShape {
  int n, k;  // B is [k, n], n at most 64
  int lda, ldb, ldc;
  bool accumulate = false;  // C += A B
  UkernelData data = UkernelData::kF32;

  auto Key() const { return std::tuple(n, k, lda, ldb, ldc, accumulate, data); }
};

// One compiled tile shape. Immutable; Run may be called by any number of threads.
class Ukernel {
 public:
  virtual ~Ukernel() = default;
  virtual void Run(const void* a, const void* b, void* c) const = 0;
};

// The kernels of one shape for 1 to kMaxRows rows of A, compiled on first use (about 50 us each).
class UkernelTable {
 public:
  static constexpr int kMaxRows = 64;

  explicit UkernelTable(const UkernelShape& shape) : shape_(shape) {}
  ~UkernelTable();
  UkernelTable(const UkernelTable&) = delete;
  UkernelTable& operator=(const UkernelTable&) = delete;

  // The row count that `rows` rounds up to: few distinct ones, so that a new length does not mean a new kernel. A and C
  // must have that many rows to read and write.
  static int RoundRows(int rows) { return rows <= 8 ? rows : (rows + 7) & ~7; }

  // The kernel for exactly `rows` rows (1 to kMaxRows). Thread-safe.
  const Ukernel& ForRows(int rows) const {
    const Ukernel* kernel = kernels_[rows].load(std::memory_order_acquire);
    return kernel != nullptr ? *kernel : Compile(rows);
  }
  void Run(int rows, const void* a, const void* b, void* c) const { ForRows(rows).Run(a, b, c); }

 private:
  const Ukernel& Compile(int rows) const;

  const UkernelShape shape_;
  mutable std::array<std::atomic<const Ukernel*>, kMaxRows + 1> kernels_{};  // owned
};

// The process-wide table of `shape`; lives for ever, so a caller bounds the shapes that requests can bring about.
// Thread-safe.
const UkernelTable* GetUkernelTable(const UkernelShape& shape);

// What a tile runs through: "brgemm", or where there is none "matmul" (f32) or "loops" (the others).
std::string_view UkernelBackend(UkernelData data = UkernelData::kF32);

// Makes tables and Linears created from now on use dnnl::matmul.
void ForceMatmulForTest(bool force);
bool MatmulIsForced();

}  // namespace attnd

#endif  // ATTND_CORE_OPS_UKERNEL_H_
