// InterruptScope: Ctrl-C stops what is under way, not the program.
#ifndef ATTND_CLIENT_INTERRUPT_H_
#define ATTND_CLIENT_INTERRUPT_H_

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

namespace attnd {

// While it lives, SIGINT calls `stop` instead of what it did before, from a thread of the scope's own, so that `stop`
// need not be async-signal-safe; it may come several times. One scope at a time in a process.
class InterruptScope {
 public:
  explicit InterruptScope(std::function<void()> stop);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  bool interrupted() const { return interrupted_; }

 private:
  const std::function<void()> stop_;
  std::atomic<bool> interrupted_{false};
  int pipe_[2] = {-1, -1};  // from the handler to the thread
  struct sigaction before_ = {};
  std::thread thread_;
};

}  // namespace attnd

#endif  // ATTND_CLIENT_INTERRUPT_H_
