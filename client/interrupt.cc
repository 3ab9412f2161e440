#include "client/interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace attnd {
namespace {

constexpr char kInterrupted = 'i', kOver = 'o';

std::atomic<int> handler_pipe{-1};

void Tell(int pipe, char what) {
  while (write(pipe, &what, 1) < 0 && errno == EINTR) {
  }
}

void OnSignal(int) {
  const int saved = errno;
  if (const int pipe = handler_pipe; pipe >= 0) Tell(pipe, kInterrupted);
  errno = saved;
}

}  // namespace

InterruptScope::InterruptScope(std::function<void()> stop) : stop_(std::move(stop)) {
  if (pipe2(pipe_, O_CLOEXEC) != 0) return;  // out of descriptors: Ctrl-C ends the program, as before
  handler_pipe = pipe_[1];
  thread_ = std::thread([this] {
    for (char what = 0;;) {
      const ssize_t got = read(pipe_[0], &what, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got != 1 || what == kOver) return;
      interrupted_ = true;
      stop_();
    }
  });
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, &before_);
}

InterruptScope::~InterruptScope() {
  if (!thread_.joinable()) return;
  sigaction(SIGINT, &before_, nullptr);
  handler_pipe = -1;
  Tell(pipe_[1], kOver);
  thread_.join();
  close(pipe_[0]);
  close(pipe_[1]);
}

}  // namespace attnd
