#include "server/ops/exposer.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace attnd {
namespace {

// Connects to "HOST:PORT" and hangs up.
void Knock(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found) != 0) return;
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    connect(fd, found->ai_addr, found->ai_addrlen);
    close(fd);
  }
  freeaddrinfo(found);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsExposer>> MetricsExposer::Start(
    const std::string& listen, std::vector<std::shared_ptr<prometheus::Collectable>> sources) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("metrics address \"", listen, "\" is not HOST:PORT, or \"off\""));
  }
  const std::string host = listen.substr(0, colon);
  auto exposer = std::unique_ptr<MetricsExposer>(new MetricsExposer());
  try {
    exposer->exposer_ = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", listen, "num_threads", "2", "request_timeout_ms", "5000"});
  } catch (const std::exception&) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", listen, " for metrics: the port is in use or the address is not ours"));
  }
  const std::vector<int> ports = exposer->exposer_->GetListeningPorts();
  exposer->address_ = absl::StrCat(host, ":", ports.empty() ? port : ports[0]);
  exposer->sources_ = std::move(sources);
  for (const auto& source : exposer->sources_) exposer->exposer_->RegisterCollectable(source);
  return exposer;
}

MetricsExposer::~MetricsExposer() {
  // The HTTP server looks for its end every two seconds, or when somebody connects.
  std::atomic<bool> stopped{false};
  std::thread caller([&] {
    while (!stopped.load()) {
      Knock(address_);
      absl::SleepFor(absl::Milliseconds(5));
    }
  });
  exposer_.reset();
  stopped.store(true);
  caller.join();
}

}  // namespace attnd
