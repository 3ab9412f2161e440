// Drain: the state that calls share at the end of the server's life.
#ifndef ATTND_SERVER_OPS_DRAIN_H_
#define ATTND_SERVER_OPS_DRAIN_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace attnd {

// Counts the calls in flight, says that no new ones are wanted, and wakes streams so that they end. Thread-safe.
class Drain {
 public:
  // Whether health says that the server is not to be called any more, which it says before work is refused.
  bool announced() const { return announced_; }
  void Announce() { announced_ = true; }
  // Whether new work is to be refused with kUnavailable.
  bool started() const { return started_; }
  void Start() ABSL_LOCKS_EXCLUDED(mutex_);

  // For streams: `wake` is called once when the drain starts (at once where it has), on another thread; it must not
  // block.
  int64_t OnStart(std::function<void()> wake) ABSL_LOCKS_EXCLUDED(mutex_);
  // After it returns `wake` is not running and will not be called.
  void Forget(int64_t id) ABSL_LOCKS_EXCLUDED(mutex_);

  // CallMonitor counts its call by these.
  void CallBegins() { ++in_flight_; }
  void CallEnds() ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t in_flight() const { return in_flight_; }

  // Waits until no call is in flight; false when `deadline` came first.
  bool Wait(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Sequentially consistent: CallEnds writes the count and then reads started_, Wait's caller writes started_ and then
  // reads the count; with less, either could miss what the other wrote, and Wait would sleep until its deadline.
  std::atomic<bool> started_{false};
  std::atomic<bool> announced_{false};
  std::atomic<int64_t> in_flight_{0};
  absl::Mutex mutex_;  // held while the wakes run
  int64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<int64_t, std::function<void()>> wakes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace attnd

#endif  // ATTND_SERVER_OPS_DRAIN_H_
