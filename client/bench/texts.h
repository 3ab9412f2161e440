// Texts for measurements, where the user brings none.
#ifndef ATTND_CLIENT_BENCH_TEXTS_H_
#define ATTND_CLIENT_BENCH_TEXTS_H_

#include <cstdint>
#include <string>
#include <vector>

namespace attnd {

// `count` texts of common English words whose lengths spread as those of sentences do (log-normal, sigma 0.6, median
// `words`, 1 to 350). The same seed gives the same texts on every machine.
std::vector<std::string> MakeTexts(int count, int words, uint32_t seed);

}  // namespace attnd

#endif  // ATTND_CLIENT_BENCH_TEXTS_H_
