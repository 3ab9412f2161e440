// What a test needs to run a scheduler without a model.
#ifndef ATTND_TESTS_CORE_ENGINE_SCHEDULER_TESTING_H_
#define ATTND_TESTS_CORE_ENGINE_SCHEDULER_TESTING_H_

#include <memory>
#include <vector>

#include "core/engine/generation_scheduler.h"

namespace attnd {

inline std::unique_ptr<ScheduledSequence> Sequence(int tokens, int32_t first, uint64_t client = 0) {
  auto sequence = std::make_unique<ScheduledSequence>();
  sequence->client = client;
  for (int i = 0; i < tokens; ++i) sequence->ids.push_back(first + i);
  return sequence;
}

// Runs a step and appends a token where one comes out. Returns rows of the step.
inline int Step(GenerationScheduler& scheduler) {
  const std::vector<ScheduledWork> plan = scheduler.Plan();
  int rows = 0;
  scheduler.Done();
  for (const ScheduledWork& work : plan) {
    rows += work.count;
    if (work.begin + work.count == static_cast<int>(work.sequence->ids.size())) work.sequence->ids.push_back(7);
  }
  return rows;
}

}  // namespace attnd

#endif  // ATTND_TESTS_CORE_ENGINE_SCHEDULER_TESTING_H_
