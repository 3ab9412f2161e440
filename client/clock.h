// The clock that attn measures with.
#ifndef ATTND_CLIENT_CLOCK_H_
#define ATTND_CLIENT_CLOCK_H_

#include <chrono>

namespace attnd {

using Clock = std::chrono::steady_clock;

inline double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }
inline double Ms(Clock::duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }
// A time in seconds as the clock counts it.
inline Clock::duration Span(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace attnd

#endif  // ATTND_CLIENT_CLOCK_H_
