// attnd: parses the configuration, serves until SIGTERM or SIGINT, drains.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "server/ops/server.h"
#include "server/rpc/services.h"

int main(int argc, char** argv) {
  const absl::Time start = absl::Now();
#ifdef NDEBUG
  // Debian's Abseil looks for deadlocks: each lock, gRPC's too, would take a spin lock of the whole process, and two
  // that gRPC takes in either order would end it. Builds with assertions keep that.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
  const attnd::ParseResult parsed = attnd::ParseConfig(argc, argv);
  if (!parsed.config.has_value()) {
    std::fputs(parsed.output.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  }

  // Blocked in every thread, so that the one below receives them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  static absl::Notification stop;
  std::thread([signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    stop.Notify();
    sigwait(&signals, &signal);
    _exit(128 + signal);
  }).detach();

  auto server = attnd::Server::Start(*parsed.config, attnd::MakeServices);
  if (!server.ok()) {
    std::fprintf(stderr, "attnd: %s\n", std::string(server.status().message()).c_str());
    return 2;
  }
  std::printf("%s\n", (*server)->ReadyLine(absl::Now() - start).c_str());
  std::fflush(stdout);
  stop.WaitForNotification();
  (*server)->Shutdown();
  return 0;
}
