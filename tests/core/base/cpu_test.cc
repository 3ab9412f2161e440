// What the process may use of the machine.
#include "core/base/cpu.h"

#include <gtest/gtest.h>

#include "oneapi/dnnl/dnnl.hpp"

namespace attnd {
namespace {

// Its kernels on AMX end a process whose tile registers it was not asked to configure.
TEST(CpuTest, OneDnnDoesWithoutAmx) {
  constexpr auto kWithAmx = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_amx);
  constexpr auto kWithout = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_fp16);
  GetCpuPath();
  EXPECT_EQ(static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & (kWithAmx & ~kWithout), 0U);
}

TEST(CpuTest, AmxComesWithAvx512) {
  if (!CpuHasAmx()) GTEST_SKIP() << "no AMX here";
  EXPECT_EQ(GetCpuPath(), CpuPath::kAvx512);
  EXPECT_TRUE(CpuHasVnni());
  EXPECT_TRUE(CpuHasFastBf16());
}

TEST(CpuTest, CountsAtLeastOneCpu) { EXPECT_GE(AvailableCpus(), 1); }

}  // namespace
}  // namespace attnd
