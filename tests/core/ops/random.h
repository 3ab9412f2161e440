// Random: inputs of tests, the same in every run.
#ifndef ATTND_TESTS_CORE_OPS_RANDOM_H_
#define ATTND_TESTS_CORE_OPS_RANDOM_H_

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace attnd {

// Values of a normal distribution around 0, of standard deviation `spread`.
inline std::vector<float> Random(size_t size, uint32_t seed, float spread = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> values(size);
  for (float& value : values) value = normal(random);
  return values;
}

}  // namespace attnd

#endif  // ATTND_TESTS_CORE_OPS_RANDOM_H_
