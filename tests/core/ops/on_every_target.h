// OnEveryTarget: a test of vector code on every instruction set this CPU has.
#ifndef ATTND_TESTS_CORE_OPS_ON_EVERY_TARGET_H_
#define ATTND_TESTS_CORE_OPS_ON_EVERY_TARGET_H_

#include <gtest/gtest.h>

#include <functional>

#include "core/base/cpu.h"
#include "core/ops/targets_with_f16.h"  // some files have them
#include "hwy/targets.h"

namespace attnd {

// Runs `test` once for each Highway target of this CPU: with it and those below, for files that do not have it.
inline void OnEveryTarget(const std::function<void()>& test) {
  GetCpuPath();  // lowers Highway's targets where it must, before they are chosen here
  const int64_t supported = hwy::SupportedTargets();
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(supported & ~(target - 1));  // a better target has a lower bit
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    test();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace attnd

#endif  // ATTND_TESTS_CORE_OPS_ON_EVERY_TARGET_H_
