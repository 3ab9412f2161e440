// attn: embeddings, attention maps and measurements of an attnd server.
#include <csignal>
#include <iostream>

#include "absl/synchronization/mutex.h"
#include "client/app.h"

int main(int argc, char** argv) {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // as in attnd's main
#endif
  std::ios::sync_with_stdio(false);
  // Or reading flushes the output, in the midst of what another thread writes to it.
  std::cin.tie(nullptr);
  std::signal(SIGPIPE, SIG_DFL);  // `attn … | head` ends quietly
  attnd::Io io = attnd::SystemIo();
  return attnd::RunAttn(std::vector<std::string>(argv + 1, argv + argc), io);
}
