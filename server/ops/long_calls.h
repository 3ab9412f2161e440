// LongCalls: threads for calls that tokenise much. gRPC has one thread for two CPUs, two at least: a call that keeps
// one for a second lets every other call wait for it, health checks too.
#ifndef ATTND_SERVER_OPS_LONG_CALLS_H_
#define ATTND_SERVER_OPS_LONG_CALLS_H_

#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace attnd {

// Thread-safe.
class LongCalls {
 public:
  using Work = absl::AnyInvocable<void() &&>;
  // Bytes of a request from which on it is long: tokenised in some milliseconds.
  static constexpr size_t kLongBytes = 16 << 10;

  explicit LongCalls(int threads);
  ~LongCalls() { Stop(); }

  // `work` runs once, after those that were added before it began.
  void Add(Work work) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns when all that was added has run. Nothing is added afterwards.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex mutex_;
  std::deque<Work> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_LONG_CALLS_H_
