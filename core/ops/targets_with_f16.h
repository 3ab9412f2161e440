// For Highway files that want AVX-512 with VNNI and with f16, before any header of Highway's: the project's targets
// (CMakeLists.txt) and those two.
#ifndef ATTND_CORE_OPS_TARGETS_WITH_F16_H_
#define ATTND_CORE_OPS_TARGETS_WITH_F16_H_

#define HWY_WANT_AVX3_DL
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_ZEN4)

#endif  // ATTND_CORE_OPS_TARGETS_WITH_F16_H_
