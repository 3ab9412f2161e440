// What this process may use of the machine: cores and vector instructions.
#ifndef ATTND_CORE_BASE_CPU_H_
#define ATTND_CORE_BASE_CPU_H_

#include <string_view>

namespace attnd {

// The cores this process may keep busy: the least of its affinity mask and the cgroup quotas (v2: cpu.max of every
// ancestor; v1: cfs quota), at least 1. Fractions round up. Constant for the life of the process.
int AvailableCpus();

// The instructions that the core's kernels use on this CPU. ONEDNN_MAX_CPU_ISA=AVX2 (or lower) lowers it, for oneDNN
// and Highway alike, when the first call happens before any kernel runs.
enum class CpuPath { kBaseline, kAvx2, kAvx512 };
CpuPath GetCpuPath();
std::string_view CpuPathName();  // "baseline", "avx2", "avx512"

// Whether this process may use AMX's tiles of bf16 and int8: the CPU and the kernel have them. Lowered alike.
bool CpuHasAmx();
// Whether bf16 by bf16 is faster than f32: AMX, or AVX-512 BF16 but not Intel's, where it takes twice as long
// (docs/performance.md). And whether u8 by s8 does not saturate (VNNI). Lowered alike.
bool CpuHasFastBf16();
bool CpuHasVnni();
// Whether it has arithmetic in f16 (AVX512-FP16). Lowered alike.
bool CpuHasF16();
bool CpuIsIntel();  // whatever it was lowered to

}  // namespace attnd

#endif  // ATTND_CORE_BASE_CPU_H_
