#include "core/base/cpu.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "absl/strings/ascii.h"
#include "hwy/targets.h"
#include "oneapi/dnnl/dnnl.hpp"

namespace attnd {
namespace {

// A quota as cores, or `none` where there is no limit or no file.
double QuotaV2(const std::string& file, double none) {
  std::ifstream in(file);
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return none;
  return std::atof(quota.c_str()) / period;
}

double QuotaV1(const std::string& folder, double none) {
  double quota = -1, period = 0;
  std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
  std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  return quota > 0 && period > 0 ? quota / period : none;
}

int CountCpus() {
  cpu_set_t set;
  double cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  // /proc/self/cgroup: "0::/a/b" (v2), or "4:cpu,cpuacct:/a/b" (v1). Limits of ancestors bind too.
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool v2 = controllers == ",,";
    if (!v2 && controllers.find(",cpu,") == std::string::npos) continue;
    std::string path = line.substr(second + 1);
    while (true) {
      const std::string suffix = path == "/" ? "" : path;
      cpus = std::min(cpus, v2 ? QuotaV2("/sys/fs/cgroup" + suffix + "/cpu.max", cpus)
                               : QuotaV1("/sys/fs/cgroup/cpu" + suffix, cpus));
      if (suffix.empty()) break;
      path.erase(path.rfind('/'));
    }
  }
  return std::max(1, static_cast<int>(std::ceil(cpus - 1e-6)));
}

// Linux gives a process the state of AMX's tiles when it asks for it, and its threads with it.
// https://docs.kernel.org/arch/x86/xstate.html
bool AskForTiles() {
#if defined(__x86_64__)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool CpuidHasAmx() {
#if defined(__x86_64__)
  constexpr unsigned kBf16 = 1U << 22, kTile = 1U << 24, kInt8 = 1U << 25;  // of leaf 7, in edx
  unsigned eax, ebx, ecx, edx;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (~edx & (kBf16 | kTile | kInt8)) == 0;
#else
  return false;
#endif
}

// Whether oneDNN was told to do without AMX. What it does not know it ignores.
bool AmxIsForbidden() {
  const char* isa = std::getenv("ONEDNN_MAX_CPU_ISA");
  if (isa == nullptr) isa = std::getenv("DNNL_MAX_CPU_ISA");  // its older name
  if (isa == nullptr) return false;
  constexpr std::string_view kWithoutAmx[] = {"sse41",
                                              "avx",
                                              "avx2",
                                              "avx2_vnni",
                                              "avx2_vnni_2",
                                              "avx512_core",
                                              "avx512_core_vnni",
                                              "avx512_core_bf16",
                                              "avx512_core_fp16",
                                              "avx10_1_512"};
  return std::ranges::find(kWithoutAmx, absl::AsciiStrToLower(isa)) != std::end(kWithoutAmx);
}

struct Isa {
  unsigned without_amx;
  bool amx;
};

// What may be used. AMX is taken from oneDNN: its kernels want the tile registers configured around every call
// (brgemm::set_hw_context), which ours do not, and end the process else. The tiles are TileKernel's.
Isa EffectiveIsa() {
  // Takes effect once, and only before the first question what the effective one is.
  const bool taken =
      !AmxIsForbidden() && dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_fp16) == dnnl::status::success;
  const auto isa = static_cast<unsigned>(dnnl::get_effective_cpu_isa());
  const bool avx512 = (~isa & static_cast<unsigned>(dnnl::cpu_isa::avx512_core_vnni)) == 0;
  return {isa, taken && avx512 && CpuidHasAmx() && AskForTiles()};
}

const Isa& GetIsa() {
  static const Isa isa = EffectiveIsa();
  return isa;
}

// Whether oneDNN may use all instructions of `required`.
bool Has(dnnl::cpu_isa required) {
  return (GetIsa().without_amx & static_cast<unsigned>(required)) == static_cast<unsigned>(required);
}

CpuPath Detect() {
  if (Has(dnnl::cpu_isa::avx512_core)) return CpuPath::kAvx512;
  // oneDNN was told to stay below AVX-512: Highway's kernels follow.
  constexpr int64_t kAvx512Targets = HWY_AVX3 | HWY_AVX3_DL | HWY_AVX3_ZEN4 | HWY_AVX3_SPR;
  hwy::DisableTargets(kAvx512Targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return Has(dnnl::cpu_isa::avx2) ? CpuPath::kAvx2 : CpuPath::kBaseline;
}

}  // namespace

int AvailableCpus() {
  static const int cpus = CountCpus();
  return cpus;
}

CpuPath GetCpuPath() {
  static const CpuPath path = Detect();
  return path;
}

bool CpuIsIntel() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}
bool CpuHasAmx() { return GetIsa().amx; }
bool CpuHasFastBf16() { return CpuHasAmx() || (Has(dnnl::cpu_isa::avx512_core_bf16) && !CpuIsIntel()); }
bool CpuHasF16() { return Has(dnnl::cpu_isa::avx512_core_fp16); }
bool CpuHasVnni() { return Has(dnnl::cpu_isa::avx512_core_vnni) || Has(dnnl::cpu_isa::avx2_vnni); }

std::string_view CpuPathName() {
  switch (GetCpuPath()) {
    case CpuPath::kAvx512:
      return "avx512";
    case CpuPath::kAvx2:
      return "avx2";
    case CpuPath::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace attnd
