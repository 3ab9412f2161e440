// Linger: waiting awake for what is likely to come soon.
#ifndef ATTND_CORE_BASE_LINGER_H_
#define ATTND_CORE_BASE_LINGER_H_

#include <chrono>
#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace attnd {

// A moment of 20 to 50 ns in a loop that waits for another core.
inline void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// Returns when `done()` says so or after `longest`. Until then the core stays awake, and goes to whoever wants it every
// few microseconds: a core that sleeps takes 50 to 100 us to wake.
template <typename Done>
void Linger(std::chrono::microseconds longest, const Done& done) {
  constexpr int kPausesBeforeYield = 100;  // a yield takes the lock that a thread being woken for this core waits for
  const auto until = std::chrono::steady_clock::now() + longest;
  while (!done() && std::chrono::steady_clock::now() < until) {
    for (int i = 0; i < kPausesBeforeYield && !done(); ++i) Pause();
    std::this_thread::yield();
  }
}

}  // namespace attnd

#endif  // ATTND_CORE_BASE_LINGER_H_
