#include "core/ops/ukernel.h"

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/aligned.h"
#include "core/base/cpu.h"
#include "core/ops/quantize.h"
#include "oneapi/dnnl/dnnl.hpp"
#if __has_include("oneapi/dnnl/dnnl_ukernel.hpp") && defined(__x86_64__)
#include "oneapi/dnnl/dnnl_ukernel.hpp"
#define ATTND_HAVE_UKERNEL 1
#endif

namespace attnd {
namespace {

using dnnl::memory;
using DataType = memory::data_type;
constexpr auto kF32 = DataType::f32;

struct Types {
  DataType a, b, c;
};
Types TypesOf(UkernelData data) {
  switch (data) {
    case UkernelData::kF32:
    case UkernelData::kF16:
    case UkernelData::kF32S8:
    case UkernelData::kF16S8:
    case UkernelData::kF32Slices:
      break;
    case UkernelData::kBf16:
      return {DataType::bf16, DataType::bf16, kF32};
    case UkernelData::kF32Bf16:
      return {kF32, DataType::bf16, kF32};
    case UkernelData::kU8S8:
      return {DataType::u8, DataType::s8, DataType::s32};
  }
  return {kF32, kF32, kF32};
}

std::atomic<bool> force_matmul{false};

// oneDNN computes in the calling thread: WorkTeam spreads the tiles.
void UseOneThread() {
  thread_local const bool set = (omp_set_num_threads(1), true);
  (void)set;
}

const dnnl::engine& CpuEngine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

#ifdef ATTND_HAVE_UKERNEL
class BrgemmKernel final : public Ukernel {
 public:
  static std::unique_ptr<Ukernel> Make(const UkernelShape& s, int rows) {
    try {
      const auto [a, b, c] = TypesOf(s.data);
      dnnl::ukernel::brgemm brgemm(rows, s.n, s.k, /*batch_size=*/1, s.lda, s.ldb, s.ldc, a, b, c,
                                   /*allow_empty=*/true);
      if (!brgemm) return nullptr;
      if (s.accumulate) brgemm.set_add_C(true);
      brgemm.finalize();
      const bool interleaved = brgemm.get_B_pack_type() == dnnl::ukernel::pack_type::pack32;
      if (interleaved != (UkernelInterleave(s.data) > 1)) return nullptr;
      brgemm.generate();
      return std::unique_ptr<Ukernel>(new BrgemmKernel(std::move(brgemm)));
    } catch (const dnnl::error&) {
      return nullptr;
    }
  }
  void Run(const void* a, const void* b, void* c) const override {
    thread_local AlignedBuffer<char> scratch;
    scratch.Reserve(scratch_bytes_);
    thread_local const std::vector<std::pair<memory::dim, memory::dim>> offsets(1);  // one batch entry, at 0
    brgemm_.execute(a, b, offsets, c, scratch.data());
  }

 private:
  explicit BrgemmKernel(dnnl::ukernel::brgemm brgemm)
      : brgemm_(std::move(brgemm)), scratch_bytes_(brgemm_.get_scratchpad_size() + 64) {}
  const dnnl::ukernel::brgemm brgemm_;
  const size_t scratch_bytes_;
};
#endif

class MatmulKernel final : public Ukernel {
 public:
  MatmulKernel(const UkernelShape& s, int rows)
      : a_({rows, s.k}, kF32, memory::dims{s.lda, 1}),
        b_({s.k, s.n}, kF32, memory::dims{s.ldb, 1}),
        c_({rows, s.n}, kF32, memory::dims{s.ldc, 1}) {
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (s.accumulate) {
      dnnl::post_ops ops;
      ops.append_sum(1.0f);
      attr.set_post_ops(ops);
    }
    const dnnl::matmul::primitive_desc desc(CpuEngine(), a_, b_, c_, attr);
    scratch_ = desc.scratchpad_desc();
    matmul_ = dnnl::matmul(desc);
  }
  void Run(const void* a, const void* b, void* c) const override {
    UseOneThread();
    thread_local dnnl::stream stream(CpuEngine());
    thread_local AlignedBuffer<char> scratch;
    scratch.Reserve(scratch_.get_size());
    const auto wrap = [](const memory::desc& desc, const void* data) {
      return memory(desc, CpuEngine(), const_cast<void*>(data));
    };
    matmul_.execute(stream, {{DNNL_ARG_SRC, wrap(a_, a)},
                             {DNNL_ARG_WEIGHTS, wrap(b_, b)},
                             {DNNL_ARG_DST, wrap(c_, c)},
                             {DNNL_ARG_SCRATCHPAD, wrap(scratch_, scratch.data())}});
    stream.wait();
  }

 private:
  const memory::desc a_, b_, c_;
  memory::desc scratch_;
  dnnl::matmul matmul_;
};

float ToFloat(float x) { return x; }
float ToFloat(uint16_t bf16) { return FromBf16(bf16); }

// Loops. For what has no other kernel: types that oneDNN has no tile of on this CPU, and one column, for which
// dnnl::matmul (3.7.2) gives wrong results where the rows of C are further apart than its one column.
template <typename A, typename B, typename C>
class LoopKernel final : public Ukernel {
 public:
  LoopKernel(const UkernelShape& shape, int rows)
      : shape_(shape), rows_(rows), interleave_(UkernelInterleave(shape.data)) {}
  void Run(const void* a, const void* b, void* c) const override {
    for (int r = 0; r < rows_; ++r) {
      const A* row = static_cast<const A*>(a) + int64_t{r} * shape_.lda;
      C* out = static_cast<C*>(c) + int64_t{r} * shape_.ldc;
      if (!shape_.accumulate) std::fill(out, out + shape_.n, C{0});
      for (int k = 0; k < shape_.k; ++k) {
        const B* weights =
            static_cast<const B*>(b) + int64_t{k / interleave_} * shape_.ldb * interleave_ + k % interleave_;
        for (int n = 0; n < shape_.n; ++n) out[n] += Product(row[k], weights[n * interleave_]);
      }
    }
  }

 private:
  static C Product(A a, B b) {
    if constexpr (std::is_same_v<C, int32_t>) {
      return int32_t{a} * int32_t{b};
    } else {
      return ToFloat(a) * ToFloat(b);
    }
  }
  const UkernelShape shape_;
  const int rows_;
  const int interleave_;
};

std::unique_ptr<const Ukernel> MakeKernel(const UkernelShape& shape, int rows) {
#ifdef ATTND_HAVE_UKERNEL
  GetCpuPath();  // says what oneDNN may use, before it is used
  if (!MatmulIsForced()) {
    if (auto kernel = BrgemmKernel::Make(shape, rows)) return kernel;
  }
#endif
  switch (shape.data) {
    case UkernelData::kF16:
    case UkernelData::kF32S8:
    case UkernelData::kF16S8:
    case UkernelData::kF32Slices:
      std::abort();  // a fault of the caller's: no Ukernel has it
    case UkernelData::kF32:
      break;
    case UkernelData::kBf16:
      return std::make_unique<LoopKernel<uint16_t, uint16_t, float>>(shape, rows);
    case UkernelData::kF32Bf16:
      return std::make_unique<LoopKernel<float, uint16_t, float>>(shape, rows);
    case UkernelData::kU8S8:
      return std::make_unique<LoopKernel<uint8_t, int8_t, int32_t>>(shape, rows);
  }
  if (shape.n == 1) return std::make_unique<LoopKernel<float, float, float>>(shape, rows);
  return std::make_unique<MatmulKernel>(shape, rows);
}

}  // namespace

int UkernelInterleave(UkernelData data) {
  switch (data) {
    case UkernelData::kF32:
    case UkernelData::kF32Bf16:
    case UkernelData::kF32S8:
      return 1;
    case UkernelData::kBf16:
    case UkernelData::kF16:
    case UkernelData::kF16S8:
      return 2;
    case UkernelData::kU8S8:
    case UkernelData::kF32Slices:
      return 4;
  }
  return 1;
}

UkernelTable::~UkernelTable() {
  for (auto& kernel : kernels_) delete kernel.load(std::memory_order_relaxed);
}

const Ukernel& UkernelTable::Compile(int rows) const {
  static std::mutex compiling;
  const std::lock_guard lock(compiling);
  if (const Ukernel* kernel = kernels_[rows].load(std::memory_order_acquire)) return *kernel;
  const Ukernel* kernel = MakeKernel(shape_, rows).release();
  kernels_[rows].store(kernel, std::memory_order_release);
  return *kernel;
}

const UkernelTable* GetUkernelTable(const UkernelShape& shape) {
  using Key = std::pair<bool, decltype(shape.Key())>;
  const Key key(MatmulIsForced(), shape.Key());
  thread_local std::map<Key, const UkernelTable*> seen;  // spares attention the lock
  const UkernelTable*& found = seen[key];
  if (found == nullptr) {
    static std::mutex mutex;
    static auto& tables = *new std::map<Key, std::unique_ptr<UkernelTable>>;
    const std::lock_guard lock(mutex);
    std::unique_ptr<UkernelTable>& table = tables[key];
    if (table == nullptr) table = std::make_unique<UkernelTable>(shape);
    found = table.get();
  }
  return found;
}

std::string_view UkernelBackend(UkernelData data) {
#ifdef ATTND_HAVE_UKERNEL
  if (BrgemmKernel::Make({.n = 16, .k = 16, .lda = 16, .ldb = 16, .ldc = 16, .data = data}, 8)) return "brgemm";
#endif
  return data == UkernelData::kF32 ? "matmul" : "loops";
}

void ForceMatmulForTest(bool force) { force_matmul = force; }
bool MatmulIsForced() { return force_matmul.load(std::memory_order_relaxed); }

}  // namespace attnd
